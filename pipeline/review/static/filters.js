// Hides which crops are asked for: the state lies in the page's address, and this panel shows and changes it.

import { get } from "./api.js";
import { button, clip, h, named, number, settled, svg } from "./dom.js";
import { VERDICTS } from "./face.js";
import { set as setSetting, settings } from "./settings.js";

const WIDE = matchMedia("(min-width: 1100px)");
const SHARED = new Set(["reason", "verdict"]); // without either, the server takes the queue: so both are said, or none

const panel = document.getElementById("filters");
const listeners = new Set();
let usual = "";
let awaited = false; // somebody wants to go into the panel, and it is still empty
let opener = null;
let lastQuery = null;

/** The filters as they go to the server. */
export function query() {
  const said = location.search.slice(1);
  return said || usual;
}

/** How many filters stand in the address. */
export const howMany = () => new Set(new URLSearchParams(location.search).keys()).size;

/** Be told when other crops are asked for. */
export const onFilters = (listener) => listeners.add(listener);

/** Begin; *otherwise* is asked for where the address says nothing. What is in the panel comes with `refresh`. */
export function begin(otherwise = "") {
  usual = otherwise;
  lastQuery = query();
  addEventListener("popstate", changed);
  const open = document.body.dataset.view === "stats" ? location.search !== "" : (settings.panel ?? WIDE.matches);
  if (open && WIDE.matches) setOpen(true, { quiet: true });
}

/** The button that opens and closes the panel. */
export function toggle(key) {
  opener = button([h("span", {}, "Filters"), h("span", { class: "count" }), key ? h("kbd", { "aria-hidden": "true" }, key) : null],
    () => setOpen(panel.hidden), { class: "quiet filters", "aria-expanded": String(!panel.hidden), "aria-controls": "filters" });
  showCount();
  return opener;
}

/** Open the panel and go into it. */
export function focus() {
  setOpen(true);
  awaited = !enter(); // its content may still be on the way
}

function enter() {
  const first = panel.querySelector("summary, input, button");
  first?.focus();
  return first !== null;
}

function setOpen(open, { quiet = false } = {}) {
  panel.hidden = !open;
  opener?.setAttribute("aria-expanded", String(open));
  if (!quiet && WIDE.matches) setSetting({ panel: open });
  if (open && !quiet) refresh();
  else if (panel.contains(document.activeElement)) opener?.focus();
  dispatchEvent(new Event("resize"));
}

panel.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  setOpen(false);
  opener?.focus();
});

function changed() {
  showCount();
  if (query() === lastQuery) return;
  lastQuery = query();
  for (const listener of listeners) listener();
  refresh();
}

function showCount() {
  const count = howMany();
  if (opener) opener.querySelector(".count").textContent = count ? ` (${count})` : "";
}

function go(params) {
  const text = params.toString();
  history.pushState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
  changed();
}

/** Draw the panel anew, with counts as they are now. */
export const refresh = settled(async () => {
  if (panel.hidden) return;
  const asked = query();
  try {
    const told = await get("facets", asked);
    if (asked === query()) draw(told);
  } catch (error) {
    panel.replaceChildren(...head(null), h("p", { class: "notice" }, clip(error.message, 400)), clearing());
  }
}, 60);

function draw(told) {
  const kept = document.activeElement?.dataset?.key;
  const inside = awaited || panel.contains(document.activeElement);
  awaited = false;
  const opened = new Map([...panel.querySelectorAll("details")].map((one) => [one.dataset.facet, one.open]));
  const scrolled = panel.scrollTop;
  const drawn = told.facets.map((facet) => section(facet, told.facets, opened.get(facet.name)));
  panel.replaceChildren(...head(told), clearing(), ...drawn, tags(opened.get("tag")));
  panel.scrollTop = scrolled;
  const same = kept && panel.querySelector(`[data-key="${CSS.escape(kept)}"]`);
  if (same) same.focus({ preventScroll: true });
  else if (inside) enter();
}

function head(told) {
  const close = button("Close", () => setOpen(false), { class: "quiet" });
  const words = told && h("p", { class: "matching" }, h("strong", {}, number(told.matching)), ` of ${number(told.total)} crops`);
  return [h("header", {}, h("h2", {}, "Filters"), close), words].filter(Boolean);
}

const clearing = () => button("Clear all filters", () => go(new URLSearchParams()), { class: "quiet", disabled: !location.search });

function section(facet, all, open) {
  const drawn = facet.kind === "choice" ? choices(facet, all) : range(facet);
  const isOn = facet.kind === "choice" ? facet.values.some(({ on }) => on) : facet.low !== null || facet.high !== null;
  const usually = ["reason", "verdict", "score"].includes(facet.name) || isOn;
  return h("details", { data: { facet: facet.name }, open: open ?? usually }, h("summary", {}, facet.title), drawn);
}

function choices(facet, all) {
  const lines = facet.values.map((value, place) => {
    const box = h("input", { type: "checkbox", checked: value.on, data: { key: `${facet.name}=${value.value}` },
      on: { change: (event) => choose(facet, value.value, event.target.checked, all) } });
    const line = h("label", { class: value.count ? "" : "none" }, box, named(titleOf(facet, value)), h("span", { class: "count" }, number(value.count)));
    return h("li", { class: place >= 12 ? "more" : "" }, line);
  });
  const list = h("ul", { class: "choices" }, lines);
  if (facet.values.length <= 12) return list;
  const more = button(`All ${facet.values.length}`, () => { list.classList.add("whole"); more.remove(); }, { class: "quiet" });
  return [list, more];
}

/** Verdicts are called here as they are on the pages. */
const titleOf = ({ name }, { value, title }) => (name === "verdict" && VERDICTS[value]?.words) || title;

function choose(facet, value, on, all) {
  const params = new URLSearchParams(query());
  const named = SHARED.has(facet.name) ? all.filter(({ name }) => SHARED.has(name)) : [facet];
  for (const { name, values } of named) {
    const chosen = new Set(values.filter((one) => one.on).map((one) => one.value));
    if (name === facet.name) chosen[on ? "add" : "delete"](value);
    params.delete(name);
    for (const one of chosen) params.append(name, one);
  }
  go(params);
}

const RANGES = {
  score: { join: "-", type: "number", step: "0.01" },
  side: { join: "-", type: "number", step: "1" },
  date: { join: "..", type: "date", step: null },
};

function range(facet) {
  const { join, type, step } = RANGES[facet.name] ?? RANGES.score;
  const field = (end, words, value, other) => h("label", {}, h("span", {}, words), h("input", {
    type, step, value: value ?? "", placeholder: tidy(other), "aria-label": `${facet.title} ${words}`, data: { key: `${facet.name}.${end}` }, on: { change: apply },
  }));
  const low = field("low", "from", facet.low, facet.min);
  const high = field("high", "to", facet.high, facet.max);
  function apply() {
    const ends = [low, high].map((one) => one.querySelector("input").value);
    const params = new URLSearchParams(query());
    params.delete(facet.name);
    if (ends.some(Boolean)) params.set(facet.name, ends.join(join));
    go(params);
  }
  return [histogram(facet), h("div", { class: "ends" }, low, high)];
}

const tidy = (value) => (typeof value === "number" ? String(Math.round(value * 100) / 100) : value);

function histogram({ bins, low, high, title }) {
  const most = Math.max(1, ...bins.map(({ count }) => count));
  const bars = bins.map((bin, place) => {
    const inside = (low === null || bin.to > low) && (high === null || bin.from < high);
    const tall = bin.count ? Math.max(1, Math.sqrt(bin.count / most) * 30) : 0; // by the root: few are seen beside many
    return svg("rect", { x: place * 10 + 0.5, y: 32 - tall, width: 9, height: tall, class: inside ? "in" : "out" });
  });
  const words = `${title}: ${bins.length} bars, the tallest has ${number(most)} crops`;
  return svg("svg", { class: "histogram", viewBox: `0 0 ${bins.length * 10} 32`, preserveAspectRatio: "none", role: "img", "aria-label": words }, bars);
}

function tags(open) {
  const chosen = new URLSearchParams(query()).getAll("tag");
  const list = h("ul", { class: "choices" });
  const search = h("input", { type: "search", placeholder: "blue hair…", "aria-label": "Search tags", data: { key: "tag" }, autocomplete: "off", spellcheck: "false" });
  const find = settled(async () => {
    const text = search.value.trim().replace(/ /g, "_");
    const found = await get("tags", `q=${encodeURIComponent(text)}&${query()}`).catch(() => ({ tags: [] }));
    const others = found.tags.filter(({ value }) => !chosen.includes(value));
    list.replaceChildren(...[...chosen.map((value) => ({ value, on: true })), ...others].map(tagLine));
  }, 150);
  search.addEventListener("input", find);
  const made = h("details", { data: { facet: "tag" }, open: open ?? chosen.length > 0 }, h("summary", {}, "Tags"), search, list);
  made.addEventListener("toggle", () => { if (made.open) find(); });
  if (made.open) find();
  return made;
}

function tagLine({ value, count, on }) {
  const box = h("input", { type: "checkbox", checked: on, data: { key: `tag=${value}` }, on: { change: () => {
    const params = new URLSearchParams(query());
    const rest = params.getAll("tag").filter((one) => one !== value);
    params.delete("tag");
    for (const one of on ? rest : [...rest, value]) params.append("tag", one);
    go(params);
  } } });
  return h("li", {}, h("label", {}, box, named(value), h("span", { class: "count" }, count === undefined ? "" : number(count))));
}
