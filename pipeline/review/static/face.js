// Hides how one crop is told of: its words, its facts, its picture at full size.

import { ACTIONS, keyFor, keysOf, nameOf, perform } from "./keys.js";
import { button, clip, fraction, h, named, openDialog } from "./dom.js";
import { cropUrl } from "./pictures.js";

/** What a verdict is called, and its mark; never colour alone. */
export const VERDICTS = {
  reject: { words: "no face", mark: "✕" },
  unsure: { words: "unsure", mark: "?" },
  keep: { words: "a face", mark: "✓" },
};

/** What is said of a crop in place of its picture. */
export const altOf = (item, place, total) =>
  `crop ${place + 1} of ${total}, score ${fraction(item.score)}, ${clip(item.source || "unknown source", 60)}`;

/** How many near-copies are decided with it. */
export const membersOf = ({ members }) => (members > 1 ? `${members} near-copies, decided as one` : "");

/** The facts of a crop as a short list. */
export function factsOf(item) {
  const pairs = [
    ["Score", fraction(item.score)],
    ["Seen by", [named(item.detector || "–"), item.agreed ? " (several agree)" : ""]],
    ["Source", named(item.source || "–")],
    ["In its image", item.side ? `${item.side} px` : "–"],
    ["Near-copies", item.members > 1 ? membersOf(item) : "none"],
    item.verdict ? ["Now", VERDICTS[item.verdict].words] : null,
    item.label ? ["Label", named(item.label)] : null,
  ];
  return factList(pairs.filter(Boolean));
}

/** A list of names and what stands behind them. */
export const factList = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

/** Show a crop pixel for pixel: nothing is blurred, nothing stretched. */
export function zoom(item, alt) {
  const image = h("img", { src: cropUrl(item.crop), alt });
  const words = h("p", { class: "muted" }, "100 %: one pixel of the crop is one pixel of the screen.");
  image.decode().then(() => {
    image.style.width = `${image.naturalWidth / devicePixelRatio}px`;
    image.style.height = `${image.naturalHeight / devicePixelRatio}px`;
    words.textContent = `100 %: ${image.naturalWidth} × ${image.naturalHeight} pixels, each one pixel of the screen.`;
  }).catch(() => { words.textContent = "This picture cannot be loaded."; });
  const dialog = openDialog("The crop at 100 %", h("div", { class: "zoomed" }, h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "The crop" }, image), words), { wide: true });
  closeOn(dialog, "zoom");
}

/** Let the key that opened a dialog close it. */
export function closeOn(dialog, id) {
  const action = ACTIONS.find((one) => one.id === id);
  dialog.addEventListener("keydown", (event) => {
    if (!keysOf(action).includes(nameOf(event)) || event.target.matches("input")) return;
    event.preventDefault();
    event.stopPropagation();
    dialog.close();
  });
}

/** The button of an action, with its key beside its words. */
export function actionButton(id, words, props = {}) {
  const key = keyFor(id);
  const hint = key ? h("kbd", { "aria-hidden": "true" }, key) : null;
  return button([h("span", {}, words), hint], (event) => perform(id, event), { ...props, "data-action": id });
}
