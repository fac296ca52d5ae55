// Hides the sheet of crops: its size, its cells, the focus in it, and how marks are set by keys, mouse and touch.

import { h } from "./dom.js";
import { altOf, membersOf, VERDICTS } from "./face.js";
import { cropUrl, load, together } from "./pictures.js";
import { settings } from "./settings.js";

const GAP = 6;
const LEAST = 92; // CSS pixels of a cell: smaller ones are not seen but guessed
const MOST = 256;
const CAPTION = 20;
const HELD_MS = 450; // a touch that is held so long asks for the menu

export class Sheet {
  #anchor = 0;
  #marked = null; // the place that was marked last
  #before = null; // marks before a range was begun
  #span = null;

  /** @param {{onMarks: () => void, onMenu: (place: number, x: number, y: number) => void}} ways */
  constructor(ways) {
    Object.assign(this, ways);
    this.page = null;
    this.at = 0;
    this.columns = 1;
    this.frozen = false;
    this.element = h("div", {
      class: "sheet", role: "listbox", "aria-multiselectable": "true", "aria-label": "Crops of this page", "aria-describedby": "lead",
    });
    this.#listen();
    addEventListener("resize", () => this.fit());
  }

  /** Make a page's cells, and load their pictures; resolves when all are decoded. */
  prepare(page) {
    page.cells = page.items.map((item, place) => cellOf(item, place, page.items.length));
    page.loaded = false;
    const addresses = together(page.id);
    const loads = page.items.map((item, place) => this.#load(page, item, page.cells[place], addresses));
    return Promise.all(loads).then(() => { page.loaded = true; });
  }

  async #load(page, item, cell, addresses) {
    const image = cell.querySelector("img");
    image.src = (await addresses)(item.crop);
    if (await image.decode().then(() => true, () => false)) return;
    const outcome = await load(image, cropUrl(item.crop), () => !page.dropped);
    if (outcome !== "missing") return;
    cell.classList.add("missing"); // nobody can say that it is a face
    page.marks.set(item.crop, "unsure");
    paint(cell, "unsure");
  }

  /** Put a page in place of the one before. */
  show(page) {
    this.page = page;
    this.frozen = false;
    this.#before = this.#span = this.#marked = null;
    this.element.dataset.batch = page.id;
    this.element.dataset.inverted = page.inverted ? "1" : "0";
    this.element.removeAttribute("aria-busy");
    this.fit();
    page.items.forEach(({ crop }, place) => paint(page.cells[place], page.marks.get(crop)));
    this.element.replaceChildren(...page.cells);
    this.#anchor = Math.min(page.at, page.items.length - 1);
    // Whoever is at the filters goes on there.
    this.focus(this.#anchor, { keep: !document.activeElement?.closest(".panel") });
  }

  /** Let nothing be changed while a page is written down. */
  freeze() {
    this.frozen = true;
    this.element.setAttribute("aria-busy", "true");
  }

  /** What is in the middle of things. */
  get item() {
    return this.page?.items[this.at];
  }

  /** The verdict that a plain mark means. */
  get plain() {
    return this.page?.inverted ? "keep" : "reject";
  }

  /** Make cells as large as the window lets a whole page be; else let it scroll. */
  fit() {
    const box = this.element.getBoundingClientRect();
    const count = Math.max(settings.pageSize, this.page?.items.length ?? 0);
    const caption = settings.captions ? CAPTION : 0;
    const wide = this.element.parentElement?.clientWidth ?? 0;
    if (!wide) return;
    const tall = innerHeight - (box.top + scrollY) - 12;
    const sizeOf = (columns) => Math.floor((wide - GAP * (columns - 1)) / columns);
    const fits = (columns) => {
      const rows = Math.ceil(count / columns);
      return rows * (Math.min(MOST, sizeOf(columns)) + caption) + GAP * (rows - 1) <= tall;
    };
    let columns = 1;
    while (columns < count && !fits(columns)) columns++;
    if (sizeOf(columns) < LEAST) columns = Math.max(1, Math.floor((wide + GAP) / (LEAST + 16 + GAP)));
    this.columns = columns;
    this.element.style.setProperty("--cell", `${Math.min(MOST, sizeOf(columns))}px`);
    this.element.style.setProperty("--columns", columns);
    this.element.classList.toggle("captions", settings.captions);
  }

  /** Put the focus on a cell. */
  focus(place, { keep = true } = {}) {
    const cells = this.page?.cells;
    if (!cells?.length) return;
    cells[this.at]?.setAttribute("tabindex", "-1");
    this.at = Math.max(0, Math.min(cells.length - 1, place));
    this.page.at = this.at;
    cells[this.at].setAttribute("tabindex", "0");
    if (keep) cells[this.at].focus({ preventScroll: false });
  }

  /** Move by columns and rows; at an edge it stays. */
  move(across, down = 0) {
    this.#endRange();
    this.focus(this.#beside(across, down));
    this.#anchor = this.at;
  }

  #beside(across, down) {
    const place = this.at + across + down * this.columns;
    if (place < 0) return down ? this.at : 0;
    const last = this.page.items.length - 1;
    if (place <= last) return place;
    const lastRow = Math.floor(last / this.columns);
    return down && Math.floor(this.at / this.columns) < lastRow ? last : down ? this.at : last;
  }

  /** Go to the first or last cell. */
  jump(place) {
    this.move(place === "first" ? -this.at : this.page.items.length);
  }

  /** The rows that a window shows. */
  get rows() {
    return Math.max(1, Math.floor(innerHeight / 2 / (parseInt(this.element.style.getPropertyValue("--cell"), 10) + GAP)));
  }

  /** Mark the focused crop, or all of the range that was just made; the same mark again takes it away. */
  mark(verdict) {
    if (this.frozen || !this.page) return;
    const span = this.#span ?? [this.at, this.at];
    const crops = this.page.items.slice(span[0], span[1] + 1).map(({ crop }) => crop);
    const off = crops.every((crop) => this.page.marks.get(crop) === verdict);
    for (const crop of crops) this.#set(crop, off ? null : verdict);
    this.#endRange();
    this.#anchor = this.at;
    this.#marked = off ? null : this.at;
    this.onMarks();
  }

  /** Set or take away the mark of one crop. */
  say(crop, verdict) {
    if (this.frozen || !this.page) return;
    this.#set(crop, verdict);
    this.onMarks();
  }

  /** Mark everything, or nothing where everything is marked. */
  markAll() {
    if (this.frozen || !this.page) return;
    const all = this.page.items.every(({ crop }) => this.page.marks.get(crop) === this.plain);
    for (const { crop } of this.page.items) this.#set(crop, all ? null : this.plain);
    this.onMarks();
  }

  /** Mark from the anchor to a cell; a range that shrinks gives back what it had changed. */
  extendTo(place) {
    if (this.frozen || !this.page) return;
    this.#before ??= new Map(this.page.marks);
    const to = Math.max(0, Math.min(this.page.items.length - 1, place));
    this.#span = [Math.min(this.#anchor, to), Math.max(this.#anchor, to)];
    this.page.items.forEach(({ crop }, index) => {
      const inside = index >= this.#span[0] && index <= this.#span[1];
      this.#set(crop, inside ? this.plain : (this.#before.get(crop) ?? null));
    });
    this.focus(to);
    this.#marked = to;
    this.onMarks();
  }

  /** Mark from the last mark to the focus, however one came there. */
  markTo() {
    this.#endRange();
    this.#anchor = this.#marked ?? this.at;
    this.extendTo(this.at);
  }

  /** Let the range grow by one step. */
  extend(across, down) {
    this.extendTo(this.#beside(across, down));
  }

  #endRange() {
    this.#before = this.#span = null;
  }

  #set(crop, verdict) {
    if (verdict) this.page.marks.set(crop, verdict);
    else this.page.marks.delete(crop);
    const place = this.page.items.findIndex((item) => item.crop === crop);
    if (place >= 0) paint(this.page.cells[place], verdict);
  }

  #placeOf(event) {
    const cell = event.target.closest?.("[role=option]");
    return cell ? this.page.cells.indexOf(cell) : -1;
  }

  #listen() {
    let timer = 0;
    let held = false;
    const release = () => clearTimeout(timer);
    this.element.addEventListener("mousedown", (event) => event.preventDefault());
    this.element.addEventListener("pointerdown", (event) => {
      held = false;
      const place = this.#placeOf(event);
      if (event.pointerType !== "touch" || place < 0) return;
      timer = setTimeout(() => { held = true; this.#menu(place, event); }, HELD_MS);
    });
    for (const name of ["pointerup", "pointercancel", "pointermove"]) {
      this.element.addEventListener(name, (event) => { if (name !== "pointermove" || Math.abs(event.movementX) + Math.abs(event.movementY) > 6) release(); });
    }
    this.element.addEventListener("click", (event) => this.#click(event, held));
    this.element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      release();
      const place = this.#placeOf(event);
      if (!held && place >= 0) this.#menu(place, event);
    });
    this.element.addEventListener("focusin", (event) => {
      const place = this.#placeOf(event);
      if (place >= 0 && place !== this.at) this.focus(place, { keep: false });
    });
  }

  #click(event, held) {
    const place = this.#placeOf(event);
    if (place < 0 || held || this.frozen) return;
    if (event.shiftKey) return void this.extendTo(place);
    this.#endRange();
    this.focus(place);
    this.mark(this.plain);
  }

  #menu(place, event) {
    this.focus(place);
    const box = this.page.cells[place].getBoundingClientRect();
    this.onMenu(place, event.clientX || box.left + box.width / 2, event.clientY || box.top + box.height / 2);
  }
}

function cellOf(item, place, total) {
  const badge = item.members > 1
    ? h("span", { class: "badge", title: membersOf(item) }, h("span", { "aria-hidden": "true" }, `×${item.members}`), h("span", { class: "unseen" }, membersOf(item)))
    : null;
  const stands = item.verdict ? `now: ${VERDICTS[item.verdict].words}` : item.reason && item.reason !== "waiting" ? item.reason.replaceAll("_", " ") : "";
  const before = stands && h("span", { class: "before" }, stands);
  return h("div", { role: "option", class: "cell", tabindex: "-1", "aria-selected": "false", data: { crop: item.crop } },
    h("span", { class: "picture" }, h("img", { alt: altOf(item, place, total), draggable: "false" })),
    badge, before,
    h("span", { class: "state" }),
    h("span", { class: "caption", "aria-hidden": "true" }, captionOf(item)));
}

const captionOf = ({ score, detector, agreed }) => `${score.toFixed(2)}${agreed ? " ·2" : ""} ${detector}`.slice(0, 40);

function paint(cell, verdict) {
  const { words, mark } = VERDICTS[verdict] ?? {};
  cell.setAttribute("aria-selected", String(Boolean(verdict)));
  if (verdict) cell.dataset.verdict = verdict;
  else delete cell.dataset.verdict;
  cell.querySelector(".state").replaceChildren(...(verdict ? [h("span", { class: "mark", "aria-hidden": "true" }, mark), h("span", {}, words)] : []));
}
