// Hides what can be undone: what this tab did, and before that what the server knows of this person.

import { get, post } from "./api.js";
import { counted, note } from "./dom.js";
import { dead, drained, operation, record, waitingIds } from "./outbox.js";
import * as store from "./store.js";
import { tab } from "./tab.js";

let done = []; // what this tab did and has not undone, oldest first
const undone = new Set();

/** Read what this tab did before it was reloaded. */
export async function recall() {
  const all = await store.all("history").catch(() => []);
  done = all.filter((entry) => entry.tab === tab);
}

/** Write down an operation that can be undone; `entry` says how, `draft` what is before the person now. */
export async function perform(body, entry, draft = null) {
  const history = { ...entry, id: body.id, kind: body.kind, tab, at: body.at };
  await record(body, { tab, history, draft });
  done.push(history);
  return history;
}

/** The last things that were done, newest first. */
export const lastDone = (most) => done.slice(-most).reverse();

/**
 * Take back what was done last, or *chosen*; gives what it was, or null where there is nothing.
 * Of a page, `page` is what the server gave and `marks` what the person said. `draftFor` gives what is before the
 * person then.
 */
export async function undo({ chosen = null, draftFor = () => null } = {}) {
  const entry = chosen ?? done.at(-1) ?? (await fromServer());
  if (!entry) {
    return null;
  }
  done = done.filter((one) => one.id !== entry.id);
  undone.add(entry.id);
  if ((await dead()).some(({ body }) => body.id === entry.id)) {
    if (entry.n) await store.write(["history"], (one) => one.objectStore("history").delete(entry.n));
    return entry; // the server never took it
  }
  await record(operation("undo", { undoes: entry.id }), { tab, forget: entry.n ?? null, draft: draftFor(entry) });
  if (entry.page) renewed(entry.page.batch);
  if (entry.remote) {
    await drained();
    // With what stands now that it is taken back.
    entry.page = await get(`batches/${entry.page.batch}`).catch(() => entry.page);
  }
  return entry;
}

/** A committed page belongs to nobody: before it is looked at again, it is taken again. */
async function renewed(batch) {
  await drained();
  await post(`batches/${batch}/renew`, {}).catch(() => {}); // decisions are taken late as well
}

async function fromServer() {
  try {
    return await lastOnServer();
  } catch (error) {
    note(`Nothing was undone: ${error.message}`);
    return null;
  }
}

async function lastOnServer() {
  const [{ operations }, waiting] = await Promise.all([get("operations", "last=200"), waitingIds()]);
  const last = operations.find(({ id, kind, undone: gone }) =>
    !gone && !undone.has(id) && !waiting.undone.has(id) && ["page", "single", "label", "bulk"].includes(kind));
  if (!last) {
    note("There is nothing to undo.");
    return null;
  }
  if (last.kind !== "page") return last;
  const page = await get(`batches/${last.batch}`);
  const marks = page.items.filter(({ verdict, reason }) => verdict && (verdict !== "keep" || reason !== "waiting"));
  return { ...last, page, remote: true, marks: marks.map(({ crop, verdict }) => [crop, verdict]) };
}

/** Say what was taken back. */
export function tellUndone(entry) {
  const what = {
    page: () => "Page taken back, with its marks.",
    single: () => "One decision taken back.",
    label: () => `Label taken back${entry.label ? `: ${entry.label}` : ""}.`,
    bulk: () => `Taken back: ${counted(entry.crops ?? 0, "crop")} accepted at once.`,
  };
  note((what[entry.kind] ?? (() => "Taken back."))());
}
