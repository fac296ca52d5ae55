// Hides that the server may be slow, away or killed: what a person did lies on the disk before anything else happens,
// and is sent, in order, until the server has it. An operation's id makes it count once, however often it is sent.

import { ApiError, backoff, post } from "./api.js";
import { pause } from "./dom.js";
import { reviewer } from "./settings.js";
import * as store from "./store.js";

/** What the page shows: how many wait, how many were refused, and why nothing goes on (null: it does). */
export const state = { waiting: 0, dead: 0, trouble: null, fragile: null };

const changed = new Set();
const delivered = new Set();
const channel = "BroadcastChannel" in window ? new BroadcastChannel("kaoset-review") : null;
const refused = []; // where there is no database

let pumping = false;
let nudge = () => {};

/** Be told when `state` changes. */
export const onChange = (listener) => changed.add(listener);

/** Be told when the server has taken or refused something: ({id, tab, kind, result, error}). */
export const onDelivered = (listener) => delivered.add(listener);

/** Try again now. */
export const hurry = () => { nudge(); pump(); };

/** A new operation of some kind. */
export const operation = (kind, fields) => ({ id: crypto.randomUUID(), kind, at: new Date().toISOString(), ...fields });

/**
 * Write an operation down, with what belongs to it, in one transaction; resolves when it cannot be lost any more.
 * @param {object} body what the server is sent
 * @param {{tab: string, history?: object|null, forget?: number|null, draft?: object|null}} with
 *   history: how it is undone; forget: the history that it undoes; draft: what the tab has before it now
 */
export async function record(body, { tab, history = null, forget = null, draft = null }) {
  const item = { body, tab, as: reviewer() };
  let made = null;
  try {
    await store.write(["outbox", "history", "drafts"], (transaction) => {
      transaction.objectStore("outbox").add(item);
      if (history) made = transaction.objectStore("history").add(history);
      if (forget !== null) transaction.objectStore("history").delete(forget);
      if (draft) transaction.objectStore("drafts").put(draft);
    });
    if (made) history.n = made.result;
    show({ waiting: state.waiting + 1, fragile: null });
    tell({ type: "changed" });
    pump();
  } catch (error) {
    show({ fragile: error?.name ?? "no database" });
    await sendUntilTaken(item);
  }
}

/** Nothing is kept here: the page waits for the server instead. */
async function sendUntilTaken(item) {
  show({ waiting: state.waiting + 1 });
  for (let tries = 0; ; tries++) {
    const outcome = (await olderWait()) ? "later" : await send(item);
    if (outcome !== "later") break;
    await Promise.race([pause(backoff(tries)), new Promise((done) => { nudge = done; })]);
  }
  show({ waiting: state.waiting - 1 });
}

async function olderWait() {
  return (await store.count("outbox").catch(() => 0)) > 0;
}

/** What was refused for good. */
export async function dead() {
  return [...(await store.all("dead").catch(() => [])), ...refused];
}

/** Forget what was refused. */
export async function discardDead() {
  refused.length = 0;
  await store.write(["dead"], (transaction) => transaction.objectStore("dead").clear()).catch(() => {});
  await recount();
}

/** What still waits: the operations that are taken back, and the batches whose pages are committed. */
export async function waitingIds() {
  const bodies = (await store.all("outbox").catch(() => [])).map(({ body }) => body);
  const undone = new Set(bodies.map(({ undoes }) => undoes));
  const pages = bodies.filter(({ id, kind }) => kind === "page" && !undone.has(id));
  return { undone, batches: new Set(pages.map(({ batch }) => batch)) };
}

/** Resolves when nothing waits. */
export async function drained() {
  while (state.waiting > 0 || (await olderWait())) await pause(150);
}

/** Begin: count what an earlier page left, and send it. */
export async function start() {
  channel?.addEventListener("message", ({ data }) => {
    if (data.type === "delivered") for (const listener of delivered) listener(data.what);
    recount();
  });
  for (const event of ["online", "focus"]) addEventListener(event, hurry);
  navigator.storage?.persist?.().catch(() => {});
  await store.count("outbox").catch((error) => show({ fragile: error?.name ?? "no database" }));
  await recount();
  pump();
}

async function pump() {
  if (pumping) return;
  pumping = true;
  for (let tries = 0; ;) {
    const outcome = await alone(step);
    if (outcome === "empty") break;
    await recount();
    tell({ type: "changed" });
    if (outcome === "sent") tries = 0;
    else await Promise.race([pause(backoff(tries++)), new Promise((done) => { nudge = done; })]);
  }
  pumping = false;
  await recount();
}

/** One tab at a time; the lock is given back between tries, for a hidden tab's timers are slow. */
const alone = (work) => (navigator.locks ? navigator.locks.request("kaoset-review-pump", work) : work());

async function step() {
  let item;
  try {
    item = await store.first("outbox");
  } catch {
    return "empty"; // no database: nothing can wait in it
  }
  if (!item) {
    show({ trouble: null });
    return "empty";
  }
  const outcome = await send(item);
  if (outcome === "later") return outcome;
  const gone = await store.write(["outbox"], (one) => one.objectStore("outbox").delete(item.n)).catch(() => "stays");
  return gone === "stays" ? "later" : outcome; // sent again it counts once
}

async function send(item) {
  const what = { id: item.body.id, kind: item.body.kind, tab: item.tab };
  try {
    const result = await post("operations", item.body, { as: item.as });
    show({ trouble: null });
    report({ ...what, result });
    return "sent";
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.passing) {
      show({ trouble: error.locked ? "locked" : error.status === 0 ? "offline" : "busy" });
      return "later";
    }
    await bury(item, error);
    report({ ...what, error: error.message, conflict: error.body.conflict ?? [] });
    return "sent";
  }
}

async function bury(item, error) {
  const { n, ...rest } = item;
  const buried = { ...rest, status: error.status, error: error.message, conflict: error.body.conflict ?? null };
  await store.write(["dead"], (transaction) => transaction.objectStore("dead").add(buried)).catch(() => refused.push(buried));
}

function report(what) {
  for (const listener of delivered) listener(what);
  tell({ type: "delivered", what });
}

const tell = (message) => channel?.postMessage(message);

async function recount() {
  const [waiting, buried] = await Promise.all([store.count("outbox"), store.count("dead")]).catch(() => [state.waiting, 0]);
  show({ waiting, dead: buried + refused.length });
}

function show(changes) {
  if (Object.entries(changes).every(([name, value]) => state[name] === value)) return;
  Object.assign(state, changes);
  for (const listener of changed) listener(state);
}
