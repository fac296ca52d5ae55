// Hides how crops are gone through one by one: what came, what was said of each, and that a reload finds the place again.

import { onLeave } from "./chrome.js";
import { banner, h } from "./dom.js";
import { Feed, keepLeases, release } from "./feed.js";
import { waitingIds } from "./outbox.js";
import { contextUrl, cropUrl, warm } from "./pictures.js";
import { draftKeeper, draftOf, findDraft } from "./tab.js";
import * as undoing from "./undo.js";

const COUNT = 20;
const NEAR = 4; // crops before the end at which more are asked for

/**
 * A row of crops. Each entry is {item, page, said, op}: said is the verdict or label that this person gave it, op the
 * history entry by which that is taken back.
 */
export class Walk {
  /** @param {{place: () => string, filters: () => string, onShow: (entry: object | null) => void}} ways */
  constructor(ways) {
    Object.assign(this, ways);
    this.entries = [];
    this.at = -1;
    this.ended = null;
    this.keep = draftKeeper(() => this.#draft());
    keepLeases(() => this.#open());
    addEventListener("pagehide", () => this.keep.flush());
    onLeave(() => this.#leave());
  }

  /** Begin anew. */
  async begin() {
    this.#feed?.close(...this.#open().filter((page) => !page.marks.size));
    this.entries = [];
    this.at = -1;
    const key = this.place();
    const feed = new Feed({ count: COUNT, kind: "page", filters: this.filters(), prepare, onTrouble });
    this.#feed = feed;
    this.#key = key;
    const [drafts, { batches }] = await Promise.all([findDraft(key), waitingIds()]);
    if (drafts) await feed.restore(drafts, (batch) => batches.has(batch));
    if (feed !== this.#feed) return;
    try {
      await this.#goToOpen();
    } catch (error) {
      onTrouble(error); // filters that cannot be read
    }
  }

  /** Let the other views, and others, have the rest: all that was said here is written down. */
  #leave() {
    this.#feed?.close(...this.#open());
    this.entries = [];
    this.keep.flush();
  }

  #feed = null;
  #key = "";

  /** What is before the person. */
  get current() {
    return this.entries[this.at] ?? null;
  }

  /** Go some crops on or back. */
  async move(by) {
    const to = this.at + by;
    if (to < 0) return;
    if (to >= this.entries.length && !(await this.#more())) {
      if (by > 0) await this.#goToOpen();
      return;
    }
    this.#show(to);
  }

  /** Write down what was said of the current crop, and go on. */
  async say(body, said, entry) {
    const { item, page } = this.current;
    const here = this.current;
    page.marks.set(item.crop, said);
    here.said = said;
    here.op = await undoing.perform(body, { ...entry, crop: item.crop, said, crops: 1 }, this.#draft());
    if (this.#isDone(page)) release(page.id);
    if (this.current === here) await this.#onward();
  }

  async #onward() {
    if (this.at + 1 < this.entries.length || (await this.#more())) this.#show(this.at + 1);
    else await this.#goToOpen();
  }

  /** Take back what was done last, or one thing that was chosen. */
  async undo(chosen = null) {
    const done = await undoing.undo({ chosen });
    if (!done) return;
    undoing.tellUndone(done);
    const place = this.entries.findIndex(({ op }) => op?.id === done.id);
    if (place < 0) return this.onShow(this.current);
    const entry = this.entries[place];
    entry.page.marks.delete(entry.item.crop);
    Object.assign(entry, { said: null, op: null });
    this.#show(place);
  }

  /** Look for more, after there was nothing. */
  async again() {
    this.#feed.again();
    await this.#goToOpen();
  }

  #show(to) {
    this.at = to;
    if (this.current) this.current.page.at = this.current.page.items.indexOf(this.current.item);
    this.keep();
    for (const { item } of this.entries.slice(to + 1, to + 3)) warm(contextUrl(item.crop));
    this.onShow(this.current);
    if (to + NEAR >= this.entries.length) this.#more();
  }

  /** Find the first crop of which nothing was said; else there is an end. */
  async #goToOpen() {
    for (;;) {
      const place = this.entries.findIndex(({ said }) => said === null);
      if (place >= 0) return this.#show(place);
      if (!(await this.#more())) break;
    }
    this.ended = this.#feed.ended;
    this.at = this.entries.length;
    this.keep();
    this.onShow(null);
  }

  #taking = null;

  /** Take another page to the end of the row; one at a time. */
  #more() {
    const feed = this.#feed;
    this.#taking ??= feed.take().then((page) => {
      if (page && feed === this.#feed) {
        this.entries.push(...page.items.map((item) => ({ item, page, said: page.marks.get(item.crop) ?? (page.overtaken.has(item.crop) ? (item.label ?? item.verdict) : null), op: null })));
      }
      return Boolean(page);
    }).finally(() => { this.#taking = null; });
    return this.#taking;
  }

  #isDone = (page) => page.items.every(({ crop }) => page.marks.has(crop) || page.overtaken.has(crop));

  #open() {
    const shown = new Set(this.entries.map(({ page }) => page));
    return [...[...shown].filter((page) => !this.#isDone(page)), ...(this.#feed?.waiting ?? [])];
  }

  #draft() {
    return draftOf(this.#key, this.#open().map((page) => page.toDraft()));
  }
}

const prepare = (page) => Promise.all(page.items.map(({ crop }) => warm(cropUrl(crop))));

function onTrouble(error) {
  const words = error && [h("p", {}, h("strong", {}, "No new crops: "), `${error.message}. It is tried again.`)];
  banner("feed", ...(words ?? []));
}

/** Milliseconds that a person looked at something; hidden windows do not count. */
export class Clock {
  #since = performance.now();
  #before = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#before = this.read();
      this.#since = performance.now();
    });
  }

  /** Begin at nothing. */
  start() {
    this.#before = 0;
    this.#since = performance.now();
  }

  /** How long it was until now. */
  read() {
    return Math.min(86_400_000, Math.round(this.#before + (document.hidden ? 0 : performance.now() - this.#since)));
  }
}
