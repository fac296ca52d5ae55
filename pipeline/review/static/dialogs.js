// Hides the two dialogs about the page itself: its keys, and what a person likes.

import { announce, button, h, openDialog } from "./dom.js";
import { ACTIONS, actionsHere, keysOf, nameOf, shown } from "./keys.js";
import { reviewer, set, setReviewer, settings } from "./settings.js";

const LONGEST_NAME = 100;

/** Show what every key does here; it is made from the table by which they act. */
export function openHelp() {
  const groups = Map.groupBy(actionsHere(), ({ group }) => group);
  const tables = [...groups].map(([group, actions]) => h("section", {}, h("h3", {}, group), h("dl", { class: "keys" }, actions.flatMap((action) =>
    [h("dt", {}, keysOf(action).length ? spread(keysOf(action)) : "no key"), h("dd", {}, action.title)]))));
  openDialog("Keys", h("div", {},
    h("p", {}, "Mouse and touch do the same: a click marks, Shift and click marks a row, a right click or a long press opens a menu."),
    settings.letters ? null : h("p", { class: "notice" }, "Keys of one letter are switched off in the settings."),
    h("div", { class: "key-groups" }, tables),
    h("p", { class: "row" }, button("Change keys", () => { document.querySelector("dialog[open]").close(); openSettings(); }, { class: "quiet" }))), { wide: true });
}

/** Many keys in a row are shown by their first and last. */
function spread(keys) {
  const some = keys.length > 3 ? [keys[0], "…", keys.at(-1)] : keys;
  return some.flatMap((key) => (key === "…" ? [" … "] : [" ", h("kbd", {}, shown(key))])).slice(keys.length ? 1 : 0);
}

/** Show and change what a person likes. */
export function openSettings() {
  const name = h("input", { type: "text", value: reviewer(), maxlength: LONGEST_NAME, autocomplete: "off", spellcheck: "false" });
  const dialog = openDialog("You, and settings", h("div", { class: "settings" },
    h("form", { on: { submit: (event) => { event.preventDefault(); rename(name.value.trim()); } } },
      h("p", { class: "row" }, h("label", { class: "tick" }, h("span", {}, "Your name"), name), h("button", { type: "submit" }, "Use this name")),
      h("p", { class: "muted" }, "Decisions are written under it. The pages you have now are given back, and come again if you come back under the name of before.")),
    tick("askQuick", "Ask once when a page was looked at for less than 50 ms a crop"),
    tick("captions", "Show scores and detectors under the crops"),
    tick("letters", "Keys of one letter do something (without them, Ctrl, arrows, Space and Enter still work)"),
    h("h3", {}, "Keys"), keyTable()), { wide: true });
  dialog.querySelector("input").focus();
}

function rename(name) {
  if (!name) return;
  setReviewer(name);
  document.querySelector("dialog[open]").close();
  location.reload();
}

const tick = (setting, words) => h("p", {}, h("label", { class: "tick" }, h("input", { type: "checkbox", checked: settings[setting], on: { change: (event) => set({ [setting]: event.target.checked }) } }), h("span", {}, words)));

function keyTable() {
  const body = h("tbody");
  const draw = (focus = "") => {
    body.replaceChildren(...ACTIONS.map((action) => keyRow(action, draw)));
    if (focus) body.querySelector(`[data-key-of="${focus}"]`)?.focus();
  };
  draw();
  const reset = button("Usual keys", () => { set({ keys: {} }); draw(); }, { class: "quiet" });
  return [h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Keys" }, h("table", { class: "key-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What it does"), h("th", { scope: "col" }, "Key"))), body)), h("p", { class: "row" }, reset)];
}

function keyRow(action, draw) {
  const keys = keysOf(action);
  const words = keys.length ? keys.map(shown).join(", ") : "none";
  const change = h("button", { type: "button", data: { keyOf: action.id }, "aria-label": `${action.title}: ${words}; change`, on: { click: () => listenFor(action, change, draw) } }, words);
  return h("tr", {}, h("th", { scope: "row" }, action.title), h("td", {}, change));
}

/** The next key becomes the action's; Delete takes its keys away, Escape leaves them. */
function listenFor(action, change, draw) {
  change.textContent = "press a key…";
  announce("Press the new key. Delete takes the keys away, Escape leaves them.");
  change.addEventListener("keydown", function take(event) {
    if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    change.removeEventListener("keydown", take);
    const key = nameOf(event);
    if (key === "Delete") set({ keys: { ...settings.keys, [action.id]: [] } });
    else if (key !== "Escape") give(action, key);
    draw(action.id);
  });
}

/** A key does one thing in a view: whoever had it there loses it. */
function give(action, key) {
  const losers = ACTIONS.filter((one) => one.id !== action.id && keysOf(one).includes(key) && one.views.some((view) => action.views.includes(view)));
  const taken = Object.fromEntries(losers.map((one) => [one.id, keysOf(one).filter((each) => each !== key)]));
  set({ keys: { ...settings.keys, ...taken, [action.id]: [key] } });
  announce(`${shown(key)}: ${action.title}${losers.length ? `; taken from: ${losers[0].title}` : ""}`);
}
