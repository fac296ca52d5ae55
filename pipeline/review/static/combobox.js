// Hides the text box that finds names: suggestions while one types, taken by Enter or Tab, the match marked.

import { clip, counted, h, settled } from "./dom.js";

let boxes = 0;

/**
 * Make one.
 * @param {{label: string, find: (text: string) => Promise<object[]>, choose: (label: string) => void, leave: () => void}} ways
 *   find gives {label, match, count, from, confidence}; leave: Escape in an empty box
 */
export function combobox({ label, find, choose, leave }) {
  const name = `names-${++boxes}`;
  let shown = [];
  let at = -1;
  let asked = "";
  let listed = null; // what the list answers to; null: it is not drawn
  const list = h("ul", { id: name, role: "listbox", "aria-label": "Names", class: "names", hidden: true });
  const input = h("input", {
    type: "text", role: "combobox", "aria-label": label, "aria-expanded": "false", "aria-controls": name, "aria-autocomplete": "list",
    autocomplete: "off", spellcheck: "false", autocapitalize: "none", maxlength: 200, placeholder: "type a name…",
  });

  async function answer() {
    const text = (asked = input.value.trim());
    const found = await find(text).catch(() => []);
    if (text !== asked || document.activeElement !== input) return;
    const exact = found.some((one) => one.label === folded(text));
    draw(text, text && !exact ? [...found, { label: folded(text), isNew: true }] : found);
  }

  const look = settled(answer, 80);

  function draw(text, names) {
    shown = names;
    listed = text;
    list.replaceChildren(...names.map((one, place) => optionOf(one, `${name}-${place}`)));
    highlight(names.length ? 0 : -1);
    open(names.length > 0);
  }

  function open(isOpen) {
    list.hidden = !isOpen;
    input.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) highlight(-1);
  }

  function highlight(place) {
    list.children[at]?.setAttribute("aria-selected", "false");
    at = place;
    const option = list.children[at];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function take(text) {
    if (!text) return;
    look.cancel();
    asked = input.value = "";
    listed = null;
    open(false);
    choose(text);
  }

  /** Take what is chosen of the list that answers to what is typed; where that is still on its way, wait for it. */
  async function enter(literally) {
    const text = input.value.trim();
    if (literally) return take(folded(text));
    if (text && text !== listed) {
      look.cancel();
      await answer();
      if (input.value.trim() !== text) return; // typed on, or taken meanwhile
    }
    take(!list.hidden && text === listed ? shown[at]?.label : folded(text));
  }

  function onKey(event) {
    if (event.isComposing) return;
    const isOpen = !list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (isOpen && shown.length) highlight((at + step + shown.length) % shown.length);
      else look.flush();
    } else if (event.key === "Enter") enter(event.shiftKey);
    else if (event.key === "Tab" && isOpen && !event.shiftKey && at >= 0) take(shown[at].label);
    else if (event.key === "Escape") {
      if (isOpen) open(false);
      else if (input.value) input.value = "";
      else leave();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  input.addEventListener("input", look);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", () => open(false));
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => take(shown[[...list.children].indexOf(event.target.closest("li"))]?.label));
  return { element: h("div", { class: "combobox" }, input, list), input };
}

/** As boards write names: so that one name is not two. */
const folded = (text) => text.replace(/\s+/g, "_");

function optionOf({ label, match, count, from, confidence, isNew }, id) {
  const about = isNew ? "a new name" : [confidence ? `looks alike: ${Math.round(confidence * 100)} %` : "", count ? (from === "tag" ? counted(count, "post") : `${count} so far`) : ""].filter(Boolean).join(" · ");
  return h("li", { id, role: "option", "aria-selected": "false" }, h("bdi", { class: "name", title: clip(label, 300) }, marked(label, match)), h("span", { class: "muted" }, about));
}

function marked(label, match) {
  if (!match) return clip(label, 300);
  const [from, to] = match;
  return [label.slice(0, from), h("mark", {}, label.slice(from, to)), clip(label.slice(to), 300)];
}
