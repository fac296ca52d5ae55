// Hides the life of a page in the grid: shown, marked, written down, left for the next, and back again.

import { get } from "./api.js";
import { openBulk } from "./bulk.js";
import { Sheet } from "./cells.js";
import { onLeave, onProgress } from "./chrome.js";
import { announce, banner, button, counted, fill, h, painted } from "./dom.js";
import { openContext } from "./context.js";
import { endOfAudit, endOfQueue } from "./ending.js";
import { actionButton, altOf, zoom } from "./face.js";
import { Feed, keepLeases, Page } from "./feed.js";
import * as filters from "./filters.js";
import { act, keyFor } from "./keys.js";
import { openMenu } from "./menu.js";
import { drained, operation, waitingIds } from "./outbox.js";
import { onSettings, reviewer, set, settings } from "./settings.js";
import { adopt, draftKeeper, draftOf, findDraft } from "./tab.js";
import * as undoing from "./undo.js";

const SEEN_MS = 250; // after a page is painted; a key that came sooner was meant for the one before
const QUICK_MS = 50; // a crop; 60 of them in less than 3 s were hardly looked at
const AUDIT = 300;
const UI = "1";

const isAudit = () => location.hash === "#audit";
const placeNow = () => `grid?${filters.query()}${location.hash} ${reviewer()}`;

let place = "";
let feed = null;
let page = null;
let busy = false;
let seenAt = Infinity;
let asked = false;
let shownFrom = 0; // when the clock of this page began to run; 0: it stands
let polling = 0;
let kept = null; // what this tab comes back to, once it is left for another view

const keepDraft = draftKeeper(() => draftOf(place, held().map((one) => one.toDraft())));
const held = () => kept ?? [page, ...(feed?.waiting ?? [])].filter(Boolean);
const sheet = new Sheet({ onMarks, onMenu });
const host = h("div", { class: "host" }, sheet.element);
const lead = h("p", { class: "lead", id: "lead" });
const ask = h("p", { class: "ask", hidden: true });
const ending = h("section", { class: "ending", hidden: true, tabindex: "-1" });

/** Build the view, and show the first page. */
export async function start(main, sizes) {
  main.append(toolbar(sizes), h("div", { class: "leads" }, lead, ask), host, ending);
  act({
    mark: () => sheet.mark(sheet.plain), reject: () => sheet.mark("reject"), unsure: () => sheet.mark("unsure"), keep: () => sheet.mark("keep"),
    range: () => sheet.markTo(), all: () => sheet.markAll(), commit, undo, bulk,
    left: () => sheet.move(-1), right: () => sheet.move(1), up: () => sheet.move(0, -1), down: () => sheet.move(0, 1),
    extend: (_, key) => sheet.extend(...{ Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[key.split("Arrow")[1]]),
    first: () => sheet.jump("first"), last: () => sheet.jump("last"), pageup: () => sheet.move(0, -sheet.rows), pagedown: () => sheet.move(0, sheet.rows),
    zoom: () => sheet.item && zoom(sheet.item, altOf(sheet.item, sheet.at, page.items.length)), context: () => sheet.item && context(sheet.item.crop),
    captions: () => set({ captions: !settings.captions }), filters: filters.focus,
  });
  filters.onFilters(refill);
  addEventListener("hashchange", refill);
  onSettings((changes) => {
    if ("captions" in changes) sheet.fit();
    if ("pageSize" in changes) renewFeed();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? stopClock() : startClock()));
  addEventListener("pagehide", () => { stopClock(); keepDraft.flush(); });
  keepLeases(() => [...held(), ...(feed?.aside ?? [])]);
  onLeave(leave);
  onProgress(() => showLead());
  await refill();
}

function toolbar(sizes) {
  const size = h("select", { "aria-label": "Crops on a page", on: { change: (event) => { set({ pageSize: Number(event.target.value) }); sheet.focus(sheet.at); } } },
    sizes.map((count) => h("option", { value: count, selected: count === settings.pageSize }, `${count} a page`)));
  return h("div", { class: "bar", role: "group", "aria-label": "This page" },
    filters.toggle(keyFor("filters")),
    h("span", { class: "space" }),
    size,
    actionButton("captions", "Scores", { class: "quiet wide-only" }),
    actionButton("zoom", "Zoom", { class: "quiet" }),
    actionButton("context", "Context", { class: "quiet" }),
    actionButton("bulk", "Accept many", { class: "quiet", "aria-haspopup": "dialog" }),
    actionButton("undo", "Undo", { class: "quiet" }),
    actionButton("commit", "Commit page", { class: "main" }));
}

/** Begin anew, for other crops are asked for. */
async function refill() {
  const old = page;
  stopClock();
  if (old) keepDraft.flush(); // marks stay with what was asked for then
  feed?.close(...(old && !old.marks.size ? [old] : []));
  page = null;
  place = placeNow();
  const here = place;
  feed = await newFeed();
  const [drafts, waiting] = await Promise.all([findDraft(place), sentBatches()]);
  if (drafts) await feed.restore(drafts, (batch) => waiting.has(batch));
  if (here === placeNow()) await advance();
}

async function newFeed() {
  const audit = isAudit();
  const done = audit ? ((await get("progress").catch(() => null))?.audit?.n ?? 0) : 0;
  return new Feed({
    count: settings.pageSize, kind: audit ? "audit" : "page", filters: audit ? "" : filters.query(), prepare: (one) => sheet.prepare(one), onTrouble,
    most: audit ? Math.max(1, Math.ceil((AUDIT - done) / settings.pageSize)) : Infinity,
  });
}

/** Let the other views, and others, have what was not marked; marks stay in the draft. */
function leave() {
  stopClock();
  kept = held().filter(({ marks }) => marks.size);
  feed?.close(...(page && !page.marks.size ? [page] : []));
  keepDraft.flush();
}

/** Pages of another size come next; the one that is before the person stays. */
async function renewFeed() {
  feed.close();
  feed = await newFeed();
  keepDraft();
  if (!page && !busy) await advance();
}

/** The batches of pages that lie in the outbox: they are done, though the server does not know yet. */
const sentBatches = async () => (await waitingIds()).batches;

function onTrouble(error) {
  const words = error && [h("p", {}, h("strong", {}, "No new page: "), `${error.message}. It is tried again.`)];
  banner("feed", ...(words ?? []));
}

// --- the life of a page -----------------------------------------------------------------------------------------------

async function commit(event) {
  if (event?.repeat || !page || busy || !page.loaded || performance.now() < seenAt + SEEN_MS) return;
  const began = event?.timeStamp || performance.now();
  stopClock();
  if (isTooQuick()) return void askOnce();
  busy = true;
  sheet.freeze();
  delete document.body.dataset.ready;
  keepDraft.cancel();
  const done = page;
  const { words, body, entry } = describe(done);
  const rest = draftOf(place, feed.waiting.map((one) => one.toDraft()));
  page = null;
  for (const { crop, verdict } of done.items) if (done.inverted || verdict) feed.looked.add(crop);
  await undoing.perform(body, entry, rest);
  announce(words);
  await advance(began);
}

function describe(done) {
  const marks = [...done.marks];
  const rejected = marks.filter(([, verdict]) => verdict === "reject").length;
  const body = operation("page", {
    batch: done.id, dwell_ms: Math.min(86_400_000, Math.round(done.dwell)), marks: Object.fromEntries(marks), default: done.inverted ? "none" : "keep", ui: UI,
  });
  const given = { batch: done.id, kind: done.kind, items: done.items, order: done.order, left: done.left };
  const words = `${counted(done.inverted ? marks.length : done.items.length, "crop")} saved, ${rejected} rejected`;
  return { words, body, entry: { page: given, marks, dwell: done.dwell, crops: done.items.length, rejected } };
}

async function advance(began = performance.now()) {
  busy = true;
  asked = false;
  ask.hidden = true;
  seenAt = Infinity;
  const from = feed;
  try {
    const next = (await feed.take()) ?? (await lastLook());
    if (from !== feed) return;
    if (next) await present(next, began);
    else await finish();
  } catch (error) {
    showEnding(h("h2", {}, "These filters cannot be read"), h("p", {}, error.message), button("Clear all filters", () => { location.assign(location.pathname); }));
  } finally {
    if (from === feed) busy = false;
  }
}

/** Show a page; *began* is when it was asked for, 0 where nobody measures. */
async function present(next, began) {
  delete document.body.dataset.ready;
  page = next;
  ending.hidden = true;
  host.hidden = false;
  showLead();
  sheet.show(page);
  keepDraft.flush(); // a reload a moment later comes back to this page
  await next.ready;
  await painted();
  if (page !== next) return;
  if (began) performance.measure("kaoset:page", { start: began, end: performance.now() });
  seenAt = performance.now();
  startClock();
  showLead(); // a picture that is missing has marked itself
  document.body.dataset.ready = "1";
}

/** What this tab has sent may just be on its way: ask once more when it is there. */
async function lastLook() {
  lead.textContent = "Sending the last decisions…";
  await drained();
  feed.again();
  const left = await adopt(place).catch(() => null); // without a database nothing is left behind
  if (left) await feed.restore(left, () => false);
  return feed.take();
}

async function finish() {
  const hint = feed.looked.size ? "You have looked at all of these. What you did not mark stays as it was." : "";
  page = null;
  keepDraft.flush();
  const parts = isAudit() ? await endOfAudit(feed.ended?.waiting_on ?? 0) : await endOfQueue(feed.ended, { again: lookAgain, audit: startAudit, undo, looked: feed.looked.size, hint });
  showEnding(...parts);
  clearTimeout(polling);
  if (feed.ended?.waiting_on && !feed.looked.size) polling = setTimeout(lookAgain, 10_000);
}

function showEnding(...parts) {
  host.hidden = true;
  ending.hidden = false;
  fill(ending, parts);
  lead.textContent = "";
  document.body.dataset.ready = "1";
  ending.focus();
}

async function lookAgain() {
  clearTimeout(polling);
  if (page || busy) return;
  if (feed.looked.size) return void refill();
  feed.again();
  await advance();
}

const startAudit = () => { location.hash = "audit"; };

async function undo() {
  if (busy) return;
  busy = true;
  stopClock();
  const before = page;
  try {
    const entry = await undoing.undo({ draftFor: (one) => one.page && draftOf(place, [restored(one), ...held()].map((each) => each.toDraft())) });
    if (!entry) return startClock();
    undoing.tellUndone(entry);
    if (!entry.page) return startClock();
    if (before) feed.putBack(before);
    for (const { crop } of entry.page.items) feed.looked.delete(crop);
    const back = restored(entry);
    back.ready = sheet.prepare(back);
    asked = false;
    ask.hidden = true;
    clearTimeout(polling);
    await present(back, 0);
  } finally {
    busy = false;
  }
}

/** A page that was looked at before need not be asked about again. */
function restored(entry) {
  const back = new Page(entry.page, { marks: entry.marks, dwell: entry.dwell ?? 0 });
  back.known = true;
  return back;
}

// --- looked at too shortly --------------------------------------------------------------------------------------------

const isTooQuick = () => settings.askQuick && !asked && !page.inverted && !page.known && page.dwell < page.items.length * QUICK_MS;

function askOnce() {
  asked = true;
  seenAt = performance.now();
  startClock();
  const words = `${counted(page.items.length, "crop")} in ${(page.dwell / 1000).toFixed(1)} s: really all good?`;
  ask.replaceChildren(h("strong", {}, words), " Commit once more to say so; the settings can switch this question off.");
  ask.hidden = false;
  announce(words);
}

function startClock() {
  if (page && !shownFrom && !document.hidden && Number.isFinite(seenAt)) shownFrom = performance.now();
}

function stopClock() {
  if (page && shownFrom) page.dwell += performance.now() - shownFrom;
  shownFrom = 0;
}

// --- around it --------------------------------------------------------------------------------------------------------

function onMarks() {
  keepDraft();
  showLead();
}

function showLead() {
  if (!page) return;
  const said = [...page.marks.values()];
  const count = (verdict) => said.filter((one) => one === verdict).length;
  const tally = [[count("reject"), "no face"], [count("unsure"), "unsure"], [count("keep"), "a face"]].filter(([many]) => many).map(([many, words]) => `${many} ${words}`).join(", ");
  const rule = page.inverted
    ? [h("strong", { class: "warn" }, "Nothing changes but what you mark."), ` ${keyFor("keep") || "Mark"}: a face after all. The others stay as they are.`]
    : [h("strong", {}, page.kind === "audit" ? "Audit, chosen by chance: all are faces but those you mark." : "All are faces but those you mark.")];
  fill(lead, rule, h("span", { class: "tally" }, tally), h("span", { class: "order" }, `sorted by ${page.order}`));
  document.querySelector("[data-action=commit] span").textContent = page.inverted ? "Commit marks" : "Commit page";
}

function onMenu(at, x, y) {
  const { crop } = page.items[at];
  openMenu(x, y, [
    ["✕ No face", () => sheet.say(crop, "reject")], ["? Unsure", () => sheet.say(crop, "unsure")], ["✓ A face", () => sheet.say(crop, page.inverted ? "keep" : null)],
    ["Context", () => context(crop)], ["Zoom to 100 %", () => zoom(page.items[at], altOf(page.items[at], at, page.items.length))],
  ], () => sheet.focus(sheet.at));
}

function context(crop) {
  openContext(crop, {
    decide: (chosen, verdict) => decide(chosen, verdict),
    step: (by) => { sheet.focus(sheet.at + by, { keep: false }); return sheet.item.crop; },
  });
}

/** What stands on this page is marked; any other crop is decided on at once. */
function decide(crop, verdict) {
  if (page?.items.some((item) => item.crop === crop)) return sheet.say(crop, verdict === "keep" && !page.inverted ? null : verdict);
  return undoing.perform(operation("single", { crop, verdict }), { crop, verdict, crops: 1 });
}

function bulk() {
  openBulk(filters.query(), async () => {
    await drained();
    const keep = page?.marks.size ? [] : [page].filter(Boolean);
    feed.close(...keep);
    if (keep.length) page = null;
    feed = await newFeed();
    if (!page) await advance();
  });
}
