// Hides which key does what: one table, from which keys act and the help is made.

import { settings } from "./settings.js";

const ALL = ["grid", "single", "label", "stats"];
const DECIDE = "Decide";
const MOVE = "Move";
const LOOK = "Look";
const PAGE = "Page";
const NAME = "Name";
const GO = "Go to";

/** Everything that a key can do; `keys` are as `nameOf` gives them. */
export const ACTIONS = [
  { id: "mark", group: DECIDE, views: ["grid"], keys: ["Space"], title: "Mark, like a click: no face (a face, where only marks count)" },
  { id: "reject", group: DECIDE, views: ["grid", "single"], keys: ["x"], title: "No face; in the grid again takes it back" },
  { id: "unsure", group: DECIDE, views: ["grid", "single"], keys: ["u"], title: "Unsure: comes again later" },
  { id: "keep", group: DECIDE, views: ["grid", "single"], keys: ["k"], title: "A face, said expressly: rescues what a rule dropped" },
  { id: "range", group: DECIDE, views: ["grid"], keys: ["Shift+Space"], title: "Mark from the last mark to here" },
  { id: "all", group: DECIDE, views: ["grid"], keys: ["Ctrl+a"], title: "Mark all of the page; again: none" },
  { id: "commit", group: PAGE, views: ["grid"], keys: ["Enter"], title: "Commit the page: all are faces but those marked" },
  { id: "undo", group: PAGE, views: ALL, keys: ["Ctrl+z", "Backspace"], title: "Undo what was done last, as often as you like" },
  { id: "bulk", group: PAGE, views: ["grid"], keys: ["b"], title: "Accept many at once, by score" },
  { id: "left", group: MOVE, views: ["grid"], keys: ["ArrowLeft"], title: "Left" },
  { id: "right", group: MOVE, views: ["grid"], keys: ["ArrowRight"], title: "Right" },
  { id: "up", group: MOVE, views: ["grid"], keys: ["ArrowUp"], title: "Up" },
  { id: "down", group: MOVE, views: ["grid"], keys: ["ArrowDown"], title: "Down" },
  { id: "extend", group: MOVE, views: ["grid"], keys: ["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"], title: "Mark on the way" },
  { id: "first", group: MOVE, views: ["grid"], keys: ["Home"], title: "First crop" },
  { id: "last", group: MOVE, views: ["grid"], keys: ["End"], title: "Last crop" },
  { id: "pageup", group: MOVE, views: ["grid"], keys: ["PageUp"], title: "Some rows up" },
  { id: "pagedown", group: MOVE, views: ["grid"], keys: ["PageDown"], title: "Some rows down" },
  { id: "previous", group: MOVE, views: ["single", "label"], keys: ["ArrowLeft", "ArrowUp"], title: "The crop before" },
  { id: "next", group: MOVE, views: ["single", "label"], keys: ["ArrowRight", "ArrowDown"], title: "The next crop; this one stays open" },
  { id: "accept", group: NAME, views: ["label"], keys: ["Enter"], title: "Take the suggested name" },
  { id: "type", group: NAME, views: ["label"], keys: ["/"], title: "Type a name" },
  { id: "recent", group: NAME, views: ["label"], keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], title: "One of the last names" },
  { id: "same", group: NAME, views: ["label"], keys: ["."], title: "The same name as last time" },
  { id: "family", group: NAME, views: ["label"], keys: ["a"], title: "For near-copies too, or for this one alone" },
  { id: "other", group: NAME, views: ["label"], keys: ["o"], title: "Somebody else, without a name of their own" },
  { id: "unknown", group: NAME, views: ["label"], keys: ["n"], title: "Nobody known" },
  { id: "zoom", group: LOOK, views: ["grid", "single", "label"], keys: ["z"], title: "The crop in its own pixels (100 %)" },
  { id: "context", group: LOOK, views: ["grid", "single", "label"], keys: ["c"], title: "Where it was cut from, and all that is known of it" },
  { id: "captions", group: LOOK, views: ["grid"], keys: ["i"], title: "Scores and detectors under the crops" },
  { id: "filters", group: GO, views: ["grid", "single", "label"], keys: ["/"], title: "Filters" },
  { id: "grid", group: GO, views: ALL, keys: ["g"], title: "Review, many at once" },
  { id: "single", group: GO, views: ALL, keys: ["s"], title: "One by one" },
  { id: "label", group: GO, views: ALL, keys: ["l"], title: "Labels" },
  { id: "stats", group: GO, views: ALL, keys: ["t"], title: "Statistics" },
  { id: "help", group: GO, views: ALL, keys: ["?"], title: "Keys and help" },
];

// In the label view a slash types a name, so the filters have no key there; one by one, Space decides.
const VIEW_KEYS = { label: { filters: [] }, single: { reject: ["x", "Space"] } };

const handlers = new Map();

/** The keys of an action: the person's own, or the table's. */
export const keysOf = (action) => settings.keys[action.id] ?? VIEW_KEYS[document.body.dataset.view]?.[action.id] ?? action.keys;

/** The actions of the view that is open. */
export const actionsHere = () => ACTIONS.filter(({ views }) => views.includes(document.body.dataset.view));

/** The first key of an action as a person reads it; "": it has none. */
export function keyFor(id) {
  const [first] = keysOf(ACTIONS.find((action) => action.id === id));
  return first && isHeard(first) ? shown(first) : "";
}

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page up", PageDown: "Page down", Enter: "Enter" };

/** A key as a person reads it. */
export const shown = (key) =>
  key.split(/\+(?=.)/).map((part) => NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" + ");

/** Name what was pressed: "x", "Ctrl+z", "Shift+ArrowLeft", "?". */
export function nameOf(event) {
  const key = event.key === " " ? "Space" : letterOf(event);
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/.test(key)) ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift}${key}`;
}

/** The letter of a key, also on a keyboard that is set to another script. */
function letterOf({ key, code }) {
  if (key.length !== 1) return key;
  if (key.charCodeAt(0) > 127 && /^Key[A-Z]$/.test(code)) return code.slice(3).toLowerCase();
  return key.toLowerCase();
}

/** Say what actions do; a handler that gives false leaves the key to the browser. */
export const act = (more) => { for (const [id, handler] of Object.entries(more)) handlers.set(id, handler); };

/** Do what an action does, as if its key had been pressed. */
export const perform = (id, event) => handlers.get(id)?.(event);

/** Begin to listen. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const key = nameOf(event);
    if (!isHeard(key) || (isControl(event.target) && !/^[^A-Z]$/.test(key) && !key.startsWith("Ctrl+"))) return;
    const action = actionsHere().find((one) => handlers.has(one.id) && keysOf(one).includes(key));
    if (action && handlers.get(action.id)(event, key) !== false) event.preventDefault();
  });
}

/** Keys of one letter can be switched off: some people's machines send them unasked. */
const isHeard = (key) => settings.letters || key.length > 1;

const TYPED = "input:not([type=checkbox]):not([type=radio]):not([type=button]), textarea, select, [contenteditable]";

/** Whether a key would be written somewhere. */
export const isTyping = (target) => target instanceof Element && target.matches(TYPED);

/** Whether Space, Enter and arrows belong to what has the focus. */
const isControl = (target) =>
  target instanceof Element && target.closest("button, a[href], summary, input, [role=menu]") !== null;
