// Hides how elements are made. Text from boards and people only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";
const LONGEST_TITLE = 300;

/** Make an element; `on` holds listeners, `data` the dataset, and null or false leaves an attribute out. */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  dress(made, props);
  made.append(...real(children));
  return made;
}

/** Make an SVG element. */
export function svg(tag, props = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  dress(made, props);
  made.append(...real(children));
  return made;
}

/** Put other things into an element. */
export const fill = (element, ...children) => element.replaceChildren(...real(children));

const real = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");

function dress(made, { on = {}, data = {}, ...attributes }) {
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Show a name that a stranger wrote: apart from the text around it, clipped, whole in its title. */
export function named(text, tag = "bdi") {
  const whole = String(text);
  return h(tag, { class: "name", title: clip(whole, LONGEST_TITLE) }, clip(whole, LONGEST_TITLE));
}

/** Cut a text at a number of characters, never through the middle of one. */
export function clip(text, most) {
  const letters = Array.from(text.slice(0, most * 2));
  return letters.length > most ? `${letters.slice(0, most).join("")}…` : letters.join("");
}

/** A button that leaves the focus where it is when it is clicked: keys must go on working. */
export function button(words, act, props = {}) {
  const made = h("button", { type: "button", ...props }, words);
  made.addEventListener("mousedown", (event) => event.preventDefault());
  made.addEventListener("click", act);
  return made;
}

/** Say something to those who listen instead of looking. */
export function announce(text) {
  const place = document.getElementById("status");
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = text; });
}

/** Show a note for a few seconds; it is announced as well. */
export function note(text, { extra = null, seconds = 6 } = {}) {
  const made = h("p", { class: "note" }, extra, h("span", {}, text));
  document.getElementById("notes").replaceChildren(made);
  announce(text);
  setTimeout(() => made.remove(), seconds * 1000);
}

/** Show, change or (without children) take away a banner that stays. */
export function banner(name, ...children) {
  const place = document.getElementById("banners");
  place.querySelector(`[data-banner="${name}"]`)?.remove();
  if (!children.length) return;
  place.append(h("div", { class: "banner", role: "alert", data: { banner: name } }, ...children));
}

/** Open a dialog that is taken out of the page again when it closes. */
export function openDialog(title, body, { wide = false, label = "" } = {}) {
  const before = document.activeElement;
  const close = button("Close", () => dialog.close(), { class: "quiet" });
  const head = h("header", {}, h("h2", {}, title), close);
  const dialog = h("dialog", { class: wide ? "wide" : "", "aria-label": label || String(title) }, head, body);
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus({ preventScroll: true });
  });
  dialog.showModal();
  return dialog;
}

const whole = new Intl.NumberFormat("en");

/** 12,345. */
export const number = (value) => whole.format(Math.round(value));

/** 3 crops, 1 crop. */
export const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** 0.43, or nothing where it is unknown. */
export const fraction = (value) => (typeof value === "number" ? value.toFixed(2) : "–");

/** 45 s, 12 min, 3 h 20 min. */
export function lasting(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest ? ` ${rest} min` : ""}`;
}

/** A time as a person reads it. */
export const when = (text) =>
  text ? new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(text)) : "–";

/** Wait. */
export const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/** Wait until the browser has shown what there is to show, half a second at most. */
export const idle = () => new Promise((done) => {
  if ("requestIdleCallback" in window) requestIdleCallback(done, { timeout: 500 });
  else setTimeout(done, 100);
});

/** Call a function once things have been quiet for a while; `flush` calls it at once, `cancel` never. */
export function settled(act, milliseconds) {
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
  later.cancel = () => clearTimeout(timer);
  later.flush = () => { clearTimeout(timer); act(); };
  return later;
}

/** Wait until what was put into the page is on the screen; a hidden window paints nothing. */
export const painted = () => new Promise((done) => {
  if (document.hidden) return void setTimeout(done, 0);
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  });
});
