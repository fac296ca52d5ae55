// Hides how many crops are accepted at once: by score, after a look at a sample, in one operation that can be undone.

import { get } from "./api.js";
import { button, clip, counted, h, note, number, openDialog, settled } from "./dom.js";
import { zoom } from "./face.js";
import { operation } from "./outbox.js";
import { cropUrl } from "./pictures.js";
import { perform } from "./undo.js";

/** Open the dialog; *after* is called when crops were accepted. */
export function openBulk(filters, after) {
  const least = h("input", { type: "number", min: 0, max: 1, step: 0.01, value: 0.95, id: "least" });
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const dialog = openDialog("Accept many at once", h("div", {},
    h("p", {}, "All crops that are asked for here, that nobody has decided on, and whose score is at least as high as this are accepted as faces. It is one operation: one undo takes all of it back."),
    h("p", { class: "row" }, h("label", { for: "least" }, "Score at least"), least), preview), { wide: true });
  const show = settled(async () => {
    preview.setAttribute("aria-busy", "true");
    try {
      const told = await get("bulk", `least=${encodeURIComponent(least.value || "1")}&${filters}`);
      preview.replaceChildren(...shown(told, () => accept(told)));
    } catch (error) {
      preview.replaceChildren(h("p", { class: "notice" }, clip(error.message, 300)));
    }
    preview.removeAttribute("aria-busy");
  }, 250);

  async function accept({ count, sample }) {
    dialog.close();
    const body = operation("bulk", { filters, least: Number(least.value), expect: count, sampled: sample.map(({ crop }) => crop) });
    await perform(body, { crops: count });
    note(`${counted(count, "crop")} accepted at once.`);
    after();
  }

  least.addEventListener("input", show);
  show.flush();
  least.focus();
}

function shown({ count, units, sample }, accept) {
  if (!count) return [h("p", {}, "There are none of that score.")];
  const pictures = sample.map((item) => h("li", {}, h("button", { type: "button", class: "picture", on: { click: () => zoom(item, "a crop of the sample") }, "aria-label": `score ${item.score.toFixed(2)}: look at it` },
    h("img", { src: cropUrl(item.crop), alt: "", width: 72, height: 72 }))));
  return [
    h("p", {}, h("strong", {}, counted(count, "crop")), units === count ? "" : ` (${counted(units, "face")} without near-copies)`, `. ${sample.length === count ? "All of them:" : `${number(sample.length)} of them, chosen by chance:`}`),
    h("ul", { class: "strip many" }, pictures),
    h("p", { class: "row" }, button(`Accept ${counted(count, "crop")}`, accept, { class: "main" })),
  ];
}

