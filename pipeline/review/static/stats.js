// Hides the view of what the review has come to: numbers, charts with their tables, people, and a report to take along.

import { get } from "./api.js";
import { columns, curve, dots, figure, lines, SERIES, table } from "./charts.js";
import { onProgress } from "./chrome.js";
import { button, clip, counted, fraction, h, lasting, named, note, number, when } from "./dom.js";
import { auditWords } from "./ending.js";
import * as filters from "./filters.js";
import { act, keyFor } from "./keys.js";
import { onDelivered } from "./outbox.js";
import { settled } from "./dom.js";
import { reviewer } from "./settings.js";
import { tellUndone, undo } from "./undo.js";

const DECIDED = SERIES.filter(({ name }) => name !== "none");
const host = h("div", { class: "stats" });
const LEAST = 480; // CSS pixels of a chart, as the style sheet has it; drawn at its own size its letters stay letters
const GAP = 16;
const INSIDE = 31; // what its frame takes

let progress = null;
let drawn = null;

/** Build the view. */
export async function start(main) {
  main.append(h("div", { class: "bar", role: "group", "aria-label": "Statistics" }, filters.toggle(keyFor("filters")), h("span", { class: "space" }),
    button("Fresh numbers", () => show(), { class: "quiet" })), host);
  const again = settled(show, 500);
  act({
    filters: filters.focus,
    undo: async () => {
      const done = await undo();
      if (done) tellUndone(done);
    },
  });
  filters.onFilters(again);
  onDelivered(again);
  onProgress((told) => { progress = told; });
  addEventListener("resize", settled(() => { if (drawn) draw(...drawn); }, 150));
  await show();
}

async function show() {
  try {
    const [told, going] = await Promise.all([get("stats", filters.query()), progress ?? get("progress", filters.query())]);
    drawn = [told, going];
    draw(...drawn);
  } catch (error) {
    host.replaceChildren(h("p", { class: "notice" }, error.message));
  }
  document.body.dataset.ready = "1";
}

function draw(told, going) {
  const many = Math.max(1, Math.floor((host.clientWidth + GAP) / (LEAST + GAP)));
  const wide = Math.max(280, (host.clientWidth - GAP * (many - 1)) / many - INSIDE);
  const charts = [byScore, found, pageTimes, bySource, byDay].map((chart) => chart(told, wide)).filter(Boolean);
  host.replaceChildren(tiles(told, going), session(told.session), h("div", { class: "charts" }, charts),
    h("div", { class: "charts" }, people(told.reviewers), agreement(told.agreement.pairs), orders(told.orders), audit(told.audit, going), secondLook(told)));
}

function tiles({ verdicts }, { left, unseen, attention, pace_per_hour: pace }) {
  const decided = verdicts.keep + verdicts.reject + verdicts.unsure;
  const all = [
    ["decided", number(decided)], ["a face", number(verdicts.keep)], ["no face", number(verdicts.reject)], ["unsure", number(verdicts.unsure)],
    ["left in the queue", number(left)], ["your pace", pace ? `${number(pace)}/h` : "–"],
    ["attention", attention ? `${attention.caught} of ${attention.shown}` : "–"], ["never looked at", number(unseen)],
  ];
  return h("dl", { class: "figures" }, all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function session(said) {
  const name = clip(reviewer(), 100);
  const text = [
    `kaoset review, ${name}, since ${when(said.began)}`,
    `${counted(said.crops, "crop")} decided in ${lasting(said.minutes * 60)} of looking${said.per_hour ? `, ${number(said.per_hour)} an hour` : ""}`,
    `${number(said.rejected)} no faces, ${counted(said.labels, "label")}, ${counted(said.undone, "operation")} taken back`,
  ];
  const copy = button("Copy as text", async () => {
    try {
      await navigator.clipboard.writeText(text.join("\n"));
      note("Copied.");
    } catch {
      note("The browser does not allow copying here; select the text instead.");
    }
  });
  return h("section", { class: "card" }, h("h2", {}, "This session"), h("p", { class: "report" }, ["kaoset review, ", named(name), text[0].slice(`kaoset review, ${name}`.length)], text.slice(1).map((line) => [h("br"), line])), h("p", { class: "row" }, copy));
}

const countsOf = (row, series) => series.map(({ name }) => row[name] ?? 0);

/** Out of a hundred: there are far more of some scores than of others. */
const shares = (rows) => rows.map((row) => {
  const all = SERIES.reduce((sum, { name }) => sum + row[name], 0);
  return { ...row, ...Object.fromEntries(SERIES.map(({ name }) => [name, all ? (100 * row[name]) / all : 0])) };
});

function byScore({ by_score: rows }, wide) {
  return figure({
    title: "Verdicts by score", says: "What share of the crops of each score is what, by the detectors' score from 0 to 1; the table has their numbers.",
    drawing: columns(shares(rows), SERIES, { wide, unit: "%", label: ({ from }) => from.toFixed(2) }), series: SERIES,
    head: ["Score", ...SERIES.map(({ words }) => words)], rows: rows.map((row) => [`${row.from.toFixed(2)}–${row.to.toFixed(2)}`, ...countsOf(row, SERIES)]),
  });
}

function found({ found: { seen, false: wrong } }, wide) {
  if (!seen.at(-1)) return null;
  return figure({
    title: "False ones found", says: `${number(wrong.at(-1))} false ones after ${counted(seen.at(-1), "crop")}. A line that ends flat says that there is little left to find.`,
    drawing: curve(seen, wrong, { wide, across: "crops looked at" }), head: ["Crops looked at", "False ones found"], rows: seen.map((value, place) => [value, wrong[place]]),
  });
}

function pageTimes({ pages }, wide) {
  const timed = pages.filter(({ seconds, crops }) => seconds && crops);
  if (!timed.length) return null;
  const each = timed.map(({ seconds, crops }) => (seconds / crops) * 60);
  const middle = [...each].sort((one, other) => one - other)[Math.floor(each.length / 2)];
  return figure({
    title: "Time for 60 crops", says: `The median of the last ${counted(timed.length, "page")} is ${middle.toFixed(1)} s for 60 crops (the line).`,
    drawing: dots(each, { wide, across: "pages, the newest on the right", unit: "s", middle }),
    head: ["When", "Who", "Crops", "No face", "Seconds"], rows: timed.map(({ at, reviewer: name, crops, rejected, seconds }) => [when(at), name, crops, rejected, seconds]),
  });
}

function bySource({ by_source: rows }, wide) {
  if (!rows.length) return null;
  return figure({
    title: "Verdicts by source", says: "Where the crops come from.", drawing: lines(rows, SERIES, { wide, label: ({ source }) => source || "unknown" }), series: SERIES,
    head: ["Source", ...SERIES.map(({ words }) => words)], rows: rows.map((row) => [row.source || "unknown", ...countsOf(row, SERIES)]),
  });
}

function byDay({ by_day: rows }, wide) {
  if (!rows.length) return null;
  return figure({
    title: "Decisions by day", says: "What stands today, by the day on which it was decided.", drawing: columns(rows, DECIDED, { wide, label: ({ day }) => day }), series: DECIDED,
    head: ["Day", ...DECIDED.map(({ words }) => words)], rows: rows.map((row) => [row.day, ...countsOf(row, DECIDED)]),
  });
}

const card = (title, says, ...body) => h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "muted" }, says), ...body);

const scrolling = (title, head, rows) => h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": title }, table(head, rows));

function people(rows) {
  const title = "People";
  if (!rows.length) return card(title, "Nobody has decided on anything yet.");
  const body = rows.map((row) => [row.reviewer, row.decided, row.rejected, row.per_hour ?? "–", row.seeds_shown ? `${row.seeds_caught} of ${row.seeds_shown}` : "–"]);
  return card(title, "Attention: how many of the crops that are known to be no faces were marked.", scrolling(title, ["Who", "Decided", "No face", "An hour", "Attention"], body));
}

function agreement(pairs) {
  const title = "How far people agree";
  if (!pairs.length) return card(title, "No crop was decided on by two people yet.");
  const body = pairs.map(({ one, other, both, same, kappa }) => [`${one} and ${other}`, both, same, kappa === null ? "–" : fraction(kappa)]);
  return card(title, "Kappa: 1 is full agreement, 0 what chance alone would give.", scrolling(title, ["Who", "Both saw", "Same", "Kappa"], body));
}

function orders(rows) {
  const title = "What the orders are worth";
  if (!rows.length) return card(title, "This can be told after some hundred decisions, some of them no faces.");
  const body = rows.map(({ name, to_95: needed, of }) => [name, needed, of, `${Math.round((1 - needed / of) * 100)} %`]);
  return card(title, "How many crops one looks at until 95 % of the false ones are found, tried on what was decided so far.", scrolling(title, ["Order", "Crops to 95 %", "Of", "Saved"], body));
}

function audit(told, { unseen }) {
  const link = unseen ? h("p", { class: "row" }, h("a", { href: "/grid#audit" }, told ? "Look at more" : "Look at 300 chosen by chance")) : null;
  return card("Audit", told ? auditWords(told) : !unseen ? "Somebody has looked at everything that would be released." : `${counted(unseen, "crop")} would be released without anybody having looked; a sample chosen by chance says how good they are.`, link);
}

function secondLook({ doubted }) {
  if (!doubted) return null;
  const link = h("p", { class: "row" }, h("a", { href: "/grid?verdict=doubted" }, `Look at ${doubted === 1 ? "it" : "them"} again`));
  return card("Worth a second look", `${counted(doubted, "crop")} kept in one look; what was decided on the others says that ${doubted === 1 ? "it is" : "they are"} false.`, link);
}
