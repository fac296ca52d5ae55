// Hides what stands around every view: how far one is, whether all is saved, who decides, and banners for trouble.

import { get } from "./api.js";
import { banner, button, clip, counted, h, lasting, note, number, openDialog } from "./dom.js";
import { dead, discardDead, hurry, onChange, onDelivered, state } from "./outbox.js";
import { settled } from "./dom.js";
import { reviewer } from "./settings.js";

let leaving = false;
let told = null;
const listeners = new Set();
const leavers = new Set();

/** Be told of every new progress. */
export function onProgress(listener) {
  listeners.add(listener);
  if (told) listener(told);
}

/** Go to another view of this page: what is unsent stays on the disk, so nobody need be warned. */
export function goTo(view) {
  const address = document.querySelector(`[data-view-link="${view}"]`)?.href;
  if (!address || view === document.body.dataset.view) return;
  leave();
  location.assign(address);
}

/** Be told before another view is gone to; not when the page is reloaded or closed. */
export const onLeave = (listener) => leavers.add(listener);

function leave() {
  leaving = true;
  for (const listener of leavers) listener();
}

/** Begin; *filters* gives the query of what is looked at. Gives what asks for progress, a moment after it is called. */
export function begin(filters) {
  const ask = settled(() => showProgress(filters()), 400);
  onChange(showSaved);
  onDelivered((what) => { ask(); tell(what); });
  showSaved(state);
  showWho();
  setInterval(() => { if (!document.hidden) ask(); }, 30_000);
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) leave(); });
  }
  addEventListener("beforeunload", (event) => { if (state.waiting && !leaving) event.preventDefault(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.getElementById("save").addEventListener("click", () => (state.dead ? showDead() : hurry()));
  return ask;
}

/** Show under whose name decisions are written. */
export function showWho() {
  const place = document.getElementById("who");
  place.replaceChildren(h("bdi", { class: "name" }, clip(reviewer(), 40)));
  place.setAttribute("aria-label", `You decide as ${clip(reviewer(), 40)}: settings`);
  place.title = "Your name, and settings";
}

async function showProgress(query) {
  try {
    told = await get("progress", query);
  } catch {
    return; // what was shown last stays; the state beside it says what is wrong
  }
  const { left, decided, mine, pace_per_hour: pace, eta_s: eta } = told;
  const rest = pace ? `${number(pace)}/h · ${left ? `about ${lasting(eta)}` : "done"}` : "pace: after the first page";
  const bar = h("progress", { max: Math.max(1, decided + left), value: decided, "aria-label": `${number(decided)} decided, ${number(left)} left` });
  const words = h("p", {}, h("strong", {}, `${number(left)} left`), h("span", { class: "rest" }, ` · ${rest}`));
  const going = document.getElementById("going");
  going.title = `${number(decided)} decided, ${number(mine)} by you. Order: ${told.order}.`;
  going.replaceChildren(words, bar);
  for (const listener of listeners) listener(told);
}

const SAYS = {
  offline: (count) => `offline · ${count} unsaved, kept here`,
  locked: (count) => `${count} unsaved: not let in`,
  busy: (count) => `${count} unsaved, trying again`,
};

function showSaved({ waiting, dead: refused, trouble, fragile }) {
  const place = document.getElementById("save");
  const hard = refused > 0 || trouble === "locked";
  place.dataset.state = hard ? "error" : trouble === "offline" ? "offline" : waiting ? "unsaved" : "saved";
  place.dataset.waiting = waiting;
  const words = !waiting ? "saved" : trouble ? SAYS[trouble](waiting) : `${waiting} unsaved`;
  place.querySelector(".words").textContent = refused ? `${counted(refused, "operation")} refused` : words;
  showBanners({ refused, trouble, fragile });
}

function showBanners({ refused, trouble, fragile }) {
  const lock = trouble === "locked"
    ? [h("p", {}, h("strong", {}, "The server does not let this browser in."), " Open the start URL that flow review printed again; all you did is kept here and is sent then."), button("Try again", hurry)]
    : [];
  banner("locked", ...lock);
  const weak = fragile
    ? [h("p", {}, h("strong", {}, "This browser cannot keep decisions on its disk"), ` (${fragile}). Each page now waits for the server's answer before the next one comes; drafts are not kept. Free some space, or leave private browsing.`)]
    : [];
  banner("fragile", ...weak);
  const lost = refused
    ? [h("p", {}, h("strong", {}, `The server refused ${counted(refused, "operation")}.`), " They are kept here."), button("Look at them", showDead)]
    : [];
  banner("dead", ...lost);
}

/** Show what the server refused for good: it can be downloaded, or forgotten. */
async function showDead() {
  const items = await dead();
  const rows = items.map((item) => h("li", {},
    h("strong", {}, `${item.body.kind}, ${item.body.at}`), h("br"), clip(item.error, 600),
    item.conflict?.length ? h("pre", {}, clip(JSON.stringify(item.conflict, null, 1), 2000)) : null));
  const dialog = openDialog("What the server refused", h("div", {},
    h("p", {}, "Sending these again would not help. Download them if you want to look into it; then discard them."),
    h("ol", { class: "dead" }, rows),
    h("p", { class: "row" },
      button("Download JSON", () => download("kaoset-refused.json", JSON.stringify(items, null, 2))),
      button("Discard", async () => { await discardDead(); dialog.close(); }, { class: "danger" }))));
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function tell({ error, result }) {
  if (error) note(`Refused: ${clip(error, 200)}`, { seconds: 12 });
  const missed = result?.seeds?.missed ?? [];
  if (!missed.length) return;
  const pictures = missed.slice(0, 3).map((crop) => h("img", { src: `/crops/${crop}`, alt: "", width: 48, height: 48 }));
  note(`${counted(missed.length, "crop")} known to be no face went by as a face. Take your time.`, { extra: pictures, seconds: 10 });
}
