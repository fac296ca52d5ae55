// Hides the view of one crop at a time: large, beside the image that it was cut from.

import { get } from "./api.js";
import { wholeImage, openContext } from "./context.js";
import { announce, button, clip, fill, h } from "./dom.js";
import { endOfQueue } from "./ending.js";
import { actionButton, altOf, factsOf, VERDICTS, zoom } from "./face.js";
import * as filters from "./filters.js";
import { act, keyFor } from "./keys.js";
import { operation } from "./outbox.js";
import { cropUrl, load } from "./pictures.js";
import { reviewer } from "./settings.js";
import * as undoing from "./undo.js";
import { Clock, Walk } from "./walk.js";

const LAST = 10;
const UI = "1";

const stage = h("section", { class: "stage", tabindex: "-1", "aria-label": "This crop" });
const last = h("section", { class: "lasts", "aria-label": "The last ten decisions" });
const ending = h("section", { class: "ending", hidden: true, tabindex: "-1" });
const lead = h("p", { class: "lead", id: "lead" });
const clock = new Clock();
const walk = new Walk({ place: () => `single?${filters.query()} ${reviewer()}`, filters: filters.query, onShow: show });

let busy = false;

/** Build the view, and show the first crop. */
export async function start(main) {
  const decide = Object.entries(VERDICTS).map(([verdict, { words, mark }]) => actionButton(verdict, `${mark} ${words}`, { class: `say ${verdict}` }));
  main.append(
    h("div", { class: "bar", role: "group", "aria-label": "This crop" }, filters.toggle(keyFor("filters")), h("span", { class: "space" }),
      actionButton("previous", "Back", { class: "quiet" }), actionButton("next", "Skip", { class: "quiet" }), actionButton("zoom", "Zoom", { class: "quiet" }),
      actionButton("context", "Context", { class: "quiet" }), actionButton("undo", "Undo", { class: "quiet" })),
    h("div", { class: "leads" }, lead), stage, h("div", { class: "decide", role: "group", "aria-label": "What is it?" }, decide), ending, last);
  act({
    keep: () => say("keep"), reject: () => say("reject"), unsure: () => say("unsure"), undo: () => walk.undo(),
    previous: () => walk.move(-1), next: () => walk.move(1), filters: filters.focus,
    zoom: () => walk.current && zoom(walk.current.item, "the crop"),
    context: () => walk.current && openContext(walk.current.item.crop, { decide: (crop, verdict) => decideOn(crop, verdict) }),
  });
  filters.onFilters(() => walk.begin());
  await walk.begin();
}

async function say(verdict) {
  if (busy || !walk.current) return;
  busy = true;
  try {
    const { item, page } = walk.current;
    const body = operation("single", { batch: page.id, marks: { [item.crop]: verdict }, dwell_ms: clock.read(), ui: UI });
    announce(`${VERDICTS[verdict].words}, saved`);
    await walk.say(body, verdict, { verdict });
  } finally {
    busy = false;
  }
}

function decideOn(crop, verdict) {
  if (crop === walk.current?.item.crop) return say(verdict);
  return undoing.perform(operation("single", { crop, verdict }), { crop, verdict, said: verdict, crops: 1 }).then(showLast);
}

async function show(entry) {
  showLast();
  stage.hidden = document.querySelector(".decide").hidden = !entry;
  ending.hidden = Boolean(entry);
  document.body.dataset.ready = "1";
  if (!entry) {
    lead.textContent = "";
    fill(ending, await endOfQueue(walk.ended, { again: () => walk.again(), audit: () => location.assign("/grid#audit"), undo: () => walk.undo() }));
    return ending.focus();
  }
  clock.start();
  const { item, said } = entry;
  const place = walk.at;
  fill(lead, h("strong", {}, said ? `Decided: ${VERDICTS[said].words}.` : "Is it a face?"), h("span", {}, `sorted by ${entry.page.order}`));
  const image = h("img", { class: "crop large", alt: altOf(item, place, walk.entries.length), data: { crop: item.crop } });
  load(image, cropUrl(item.crop), () => walk.current === entry);
  const beside = h("div", { class: "place", "aria-busy": "true" });
  stage.replaceChildren(h("div", { class: "near" }, image, factsOf(item)), beside);
  if (!document.activeElement?.closest("button, input, .panel")) stage.focus({ preventScroll: true });
  try {
    const told = await get(`crops/${item.crop}`);
    if (walk.current === entry) beside.replaceChildren(wholeImage(told));
  } catch (error) {
    beside.replaceChildren(h("p", { class: "notice" }, clip(error.message, 300)));
  }
  beside.removeAttribute("aria-busy");
}

function showLast() {
  const done = undoing.lastDone(LAST).filter(({ crop }) => crop);
  const lines = done.map((entry) => {
    const verdict = VERDICTS[entry.said ?? entry.verdict];
    const words = verdict ? `${verdict.mark} ${verdict.words}` : clip(String(entry.said ?? entry.kind), 40);
    return h("li", {}, h("img", { src: cropUrl(entry.crop), alt: "", width: 64, height: 64 }), h("span", {}, words),
      button("Undo", () => walk.undo(entry), { class: "quiet", "aria-label": `Undo: ${words}` }));
  });
  last.replaceChildren(h("h2", {}, "The last ten"), done.length ? h("ol", {}, lines) : h("p", { class: "muted" }, "Nothing yet."));
}
