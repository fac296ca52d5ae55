// Hides the view in which faces get names: suggestions, the last names on number keys, and a box that finds the others.

import { get } from "./api.js";
import { combobox } from "./combobox.js";
import { openContext, wholeImage } from "./context.js";
import { announce, button, clip, counted, fill, h, named, note } from "./dom.js";
import { endOfQueue } from "./ending.js";
import { actionButton, altOf, factsOf, zoom } from "./face.js";
import * as filters from "./filters.js";
import { act, keyFor } from "./keys.js";
import { operation } from "./outbox.js";
import { cropUrl, load } from "./pictures.js";
import { onSettings, reviewer, set, settings } from "./settings.js";
import * as undoing from "./undo.js";
import { Walk } from "./walk.js";

const OTHER = "other";
const UNKNOWN = "unknown";
const MOST = 9; // names that have a number

const stage = h("section", { class: "stage", tabindex: "-1", "aria-label": "This face" });
const near = h("div", { class: "near" });
const beside = h("div", { class: "place" });
const suggestion = h("div", { class: "suggestion" });
const recents = h("ol", { class: "recents", "aria-label": "The last names" });
const lead = h("p", { class: "lead", id: "lead" });
const ending = h("section", { class: "ending", hidden: true, tabindex: "-1" });
const family = h("input", { type: "checkbox", checked: settings.family, on: { change: (event) => set({ family: event.target.checked }) } });
const box = combobox({ label: "Name", find: findNames, choose: (label) => say(label), leave: () => stage.focus() });
const walk = new Walk({ place: () => `label?${filters.query()} ${reviewer()}`, filters: filters.query, onShow: show });

let last = "";
let recent = [];
let best = null;
let busy = false;

/** Build the view, and show the first face. */
export async function start(main) {
  const familyLabel = h("label", { class: "tick" }, family, h("span", {}, "near-copies too"), keyFor("family") ? h("kbd", { "aria-hidden": "true" }, keyFor("family")) : null);
  main.append(
    h("div", { class: "bar", role: "group", "aria-label": "This face" }, filters.toggle(""), h("span", { class: "space" }),
      actionButton("previous", "Back", { class: "quiet" }), actionButton("next", "Skip", { class: "quiet" }), actionButton("zoom", "Zoom", { class: "quiet" }),
      actionButton("context", "Context", { class: "quiet" }), actionButton("undo", "Undo", { class: "quiet" })),
    h("div", { class: "leads" }, lead), stage, ending);
  stage.append(near, h("div", { class: "naming" }, suggestion, box.element,
    h("div", { class: "row" }, actionButton("same", "Same as last"), actionButton("other", "Somebody else"), actionButton("unknown", "Nobody known"), familyLabel),
    h("h2", {}, "The last names"), recents), beside);
  act({
    accept: () => (best ? say(best.label) : box.input.focus()), type: () => box.input.focus(), recent: (_, key) => sayRecent(Number(key) - 1),
    same: () => (last ? say(last) : note("There is no name yet.")), other: () => say(OTHER), unknown: () => say(UNKNOWN),
    family: () => { family.checked = !family.checked; set({ family: family.checked }); announce(family.checked ? "near-copies too" : "this one alone"); },
    previous: () => walk.move(-1), next: () => walk.move(1), undo: () => walk.undo(), filters: filters.focus,
    zoom: () => walk.current && zoom(walk.current.item, "the face"), context: () => walk.current && openContext(walk.current.item.crop),
  });
  last = undoing.lastDone(50).find(({ kind }) => kind === "label")?.said ?? "";
  onSettings((changes) => { if ("pinned" in changes) drawRecents(); });
  filters.onFilters(() => walk.begin());
  await walk.begin();
}

async function findNames(text) {
  const crop = walk.current?.item.crop ?? "";
  const told = await get("labels", `q=${encodeURIComponent(text)}&crop=${crop}`);
  return told.labels;
}

async function say(label) {
  if (busy || !walk.current || !label) return;
  busy = true;
  try {
    last = label;
    recent = [label, ...recent.filter((one) => one !== label)].slice(0, MOST);
    announce(`${clip(label, 80)}, saved`);
    const body = operation("label", { crops: [walk.current.item.crop], label, family: family.checked });
    await walk.say(body, label, { label });
  } finally {
    busy = false;
  }
}

const numbered = () => [...settings.pinned, ...recent.filter((one) => !settings.pinned.includes(one))].slice(0, MOST);

function sayRecent(place) {
  const label = numbered()[place];
  if (label) say(label);
}

function drawRecents() {
  recents.replaceChildren(...numbered().map((label, place) => {
    const pinned = settings.pinned.includes(label);
    const pin = () => set({ pinned: pinned ? settings.pinned.filter((one) => one !== label) : [...settings.pinned, label].slice(0, MOST) });
    return h("li", {},
      button([h("kbd", { "aria-hidden": "true" }, place + 1), named(label)], () => say(label), { class: "quiet wide" }),
      button(pinned ? "★" : "☆", pin, { class: "quiet icon", "aria-pressed": String(pinned), "aria-label": `Keep ${clip(label, 80)} on number ${place + 1}`, title: pinned ? "Pinned" : "Pin" }));
  }));
  if (!recents.children.length) recents.append(h("li", { class: "muted" }, "None yet; the first nine get the keys 1 to 9."));
}

async function show(entry) {
  stage.hidden = !entry;
  ending.hidden = Boolean(entry);
  document.body.dataset.ready = "1";
  if (!entry) {
    lead.textContent = "";
    fill(ending, await endOfQueue(walk.ended, { again: () => walk.again(), audit: () => location.assign("/grid#audit"), undo: () => walk.undo(), hint: "Faces come here once they are accepted in Review and have no name yet." }));
    return ending.focus();
  }
  const { item, said } = entry;
  fill(lead, h("strong", {}, said ? "Named: " : "Who is it?"), said ? named(said) : null, item.members > 1 ? h("span", {}, `${counted(item.members, "near-copy", "near-copies")} of this face`) : null);
  const image = h("img", { class: "crop large", alt: altOf(item, walk.at, walk.entries.length), data: { crop: item.crop } });
  load(image, cropUrl(item.crop), () => walk.current === entry);
  near.replaceChildren(image, factsOf(item));
  whole(entry);
  suggest(item.suggest);
  drawRecents();
  if (document.activeElement !== box.input && !document.activeElement?.closest("button, .panel")) stage.focus({ preventScroll: true });
  const told = await get("labels", `q=&crop=${item.crop}`).catch(() => null);
  if (!told || walk.current !== entry) return;
  recent = [...new Set([...recent, ...told.recent])].slice(0, MOST);
  drawRecents();
  suggest(told.labels.find(({ confidence, from }) => confidence || from === "tag") ?? item.suggest);
}

/** The whole image helps to know who it is. */
async function whole(entry) {
  beside.replaceChildren();
  const told = await get(`crops/${entry.item.crop}`).catch(() => null); // the crop alone does, too
  if (told && walk.current === entry) beside.replaceChildren(wholeImage(told));
}

function suggest(one) {
  best = one ?? null;
  const sure = best?.confidence ? `${Math.round(best.confidence * 100)} % sure, by its looks` : "named by the board";
  suggestion.replaceChildren(best
    ? button([h("span", {}, "It may be ", named(best.label)), h("span", { class: "sure" }, sure), h("kbd", { "aria-hidden": "true" }, keyFor("accept"))], () => say(best.label), { class: "main" })
    : h("p", { class: "muted" }, "No suggestion yet: it learns from the names you give."));
}
