// Hides where pages come from: those this tab had, then new ones, asked for two ahead and with their pictures decoded.

import { ApiError, backoff, get, post } from "./api.js";
import { idle, pause } from "./dom.js";

const AHEAD = 2;
const RENEW_MS = 120_000;
const GIVEN_BACK_MS = 5000;

const returning = new Set(); // what is on its way back to the server: crops that the next page may be made of

/**
 * What one is given to look at.
 * `marks` is what the person said: crop -> verdict; `inverted`: only what is marked changes.
 */
export class Page {
  constructor(given, { marks = [], dwell = 0, at = 0, stood = null } = {}) {
    Object.assign(this, { id: given.batch, kind: given.kind, items: given.items, order: given.order, left: given.left });
    this.marks = new Map(marks);
    this.dwell = dwell;
    this.at = at;
    this.stood = stood ?? this.items.map(standOf); // what was known of each when the page was made
    this.overtaken = new Set(this.items.filter((item, place) => standOf(item) !== this.stood[place] && !this.marks.has(item.crop)).map(({ crop }) => crop));
    this.ready = Promise.resolve();
    this.inverted = given.kind !== "audit" && given.items.some(isSettled);
  }

  /** What is needed to have it again. */
  toDraft() {
    return { batch: this.id, marks: [...this.marks], dwell: Math.round(this.dwell), at: this.at, stood: this.stood };
  }
}

const standOf = ({ verdict, label }) => `${verdict ?? ""} ${label ?? ""}`.trim();

/** Whether a rule or a person has decided on it, and silence, which keeps, would change it. */
const isSettled = ({ reason, verdict }) => (verdict ? verdict !== "keep" : reason && reason !== "waiting");

export class Feed {
  #queue = [];
  #working = false;
  #closed = false;
  #changed = Promise.withResolvers();
  #failed = null;
  #asked = 0;
  #prepared = Promise.resolve();
  #claiming = Promise.resolve();

  /**
   * @param {{count: number, kind: string, filters: string, most?: number, prepare: (page: Page) => Promise<void>,
   *   onTrouble: (error: ApiError | null) => void}} options prepare: loads a page's pictures
   */
  constructor(options) {
    Object.assign(this, { most: Infinity, ...options });
    this.ended = null; // the answer that held nothing
    this.looked = new Set(); // crops that were looked at and left as they are: the server would give them again
    this.aside = []; // pages of nothing else; they are held, so that the next ones come
  }

  /** The pages that are ready and not yet taken. */
  get waiting() {
    return [...this.#queue];
  }

  /** Bring back what a draft holds; what was committed meanwhile is left out by `isDone`. */
  async restore(drafts, isDone) {
    for (const draft of drafts) {
      try {
        const given = await get(`batches/${draft.batch}`);
        if (given.done || !given.items.length || isDone(draft.batch)) continue;
        const page = new Page(given, draft);
        // Its lease had ended, others had it, and nothing was said here yet: there is fresh work instead.
        if (page.overtaken.size && !page.marks.size) release(page.id);
        else this.#add(page);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // It was given to another, or its crops are gone: there is nothing to come back to.
      }
    }
  }

  /** The next page, or null where there is none left; rejects where the filters cannot be read. */
  async take() {
    for (;;) {
      this.#supply();
      if (this.#queue.length) return this.#queue.shift();
      if (this.#failed) throw this.#failed;
      if (this.ended || this.#asked >= this.most) return null;
      await this.#changed.promise;
    }
  }

  /** Put a page before the others. */
  putBack(page) {
    this.#queue.unshift(page);
  }

  /** Ask once more, after there was nothing left. */
  again() {
    this.ended = null;
  }

  /** Ask for nothing more, and let others have what was not looked at. */
  close(...unseen) {
    this.#closed = true;
    onItsWay(this.#claiming); // what comes now goes back at once
    for (const page of [...this.#queue, ...this.aside, ...unseen]) release(page.id);
    this.#queue = [];
    this.aside = [];
  }

  async #supply() {
    if (this.#working) return;
    this.#working = true;
    while (!this.#closed && !this.ended && !this.#failed && this.#queue.length < AHEAD && this.#asked < this.most) {
      await (this.#claiming = this.#claim());
      this.#wake();
      // Whoever waits for a page comes before those that are fetched ahead.
      await this.#prepared.catch(() => {});
      await idle();
    }
    this.#working = false;
  }

  async #claim() {
    if (returning.size) await Promise.race([Promise.allSettled(returning), pause(GIVEN_BACK_MS)]);
    for (let tries = 0; !this.#closed; tries++) {
      try {
        const given = await post("batches", { count: this.count, filters: this.filters, kind: this.kind });
        this.onTrouble(null);
        if (this.#closed) await release(given.batch);
        else if (given.items.length) this.#take(given);
        else this.ended = given;
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (!error.passing) {
          this.#failed = error;
          return;
        }
        this.onTrouble(error);
        await pause(backoff(tries));
      }
    }
  }

  #take(given) {
    const page = new Page({ ...given, items: given.items.filter(({ crop }) => !this.looked.has(crop)) });
    if (page.items.length) this.#add(page);
    else this.aside.push(page);
  }

  #add(page) {
    this.#asked++;
    // One page's pictures after the other's: the first is what somebody waits for.
    page.ready = this.#prepared = this.#prepared.catch(() => {}).then(() => this.prepare(page));
    this.#queue.push(page);
    this.#wake();
  }

  #wake() {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Let others have a page; the next one is asked for when it is back. */
export function release(batch) {
  return batch ? onItsWay(post(`batches/${batch}/release`, {}).catch(() => {})) : null; // its lease ends by itself
}

function onItsWay(sent) {
  returning.add(sent);
  const arrived = () => { returning.delete(sent); };
  return sent.then(arrived, arrived);
}

/** Keep pages for this tab while somebody is at work; `held` gives them. */
export function keepLeases(held) {
  let active = true;
  for (const event of ["keydown", "pointerdown", "pointermove"]) {
    addEventListener(event, () => { active = true; }, { passive: true });
  }
  setInterval(() => {
    if (!active) return;
    active = false;
    for (const page of held()) post(`batches/${page.id}/renew`, {}).catch(() => {}); // decisions are taken late as well
  }, RENEW_MS);
}
