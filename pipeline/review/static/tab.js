// Hides which tab this is, and what it had before it when it was closed, reloaded or killed.

import { pause, settled } from "./dom.js";
import * as store from "./store.js";

const PLACE = "kaoset.tab";
const lockOf = (id) => `kaoset-review-tab-${id}`;

/** This tab's name; a reload keeps it. */
export let tab = "";

/** Take a name that no other living tab has. */
export async function becomeTab() {
  const before = sessionStorage.getItem(PLACE);
  if (before && (await hold(before, 8))) tab = before;
  else {
    tab = crypto.randomUUID();
    await hold(tab, 1);
  }
  sessionStorage.setItem(PLACE, tab);
}

/** Hold a tab's lock for as long as this page lives. A page that is being reloaded lets go of it a little late. */
async function hold(id, tries) {
  for (let left = tries; left > 0; left--) {
    if (await grab(id)) return true;
    if (left > 1) await pause(60);
  }
  return false;
}

function grab(id) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((done) => {
    navigator.locks.request(lockOf(id), { ifAvailable: true }, (lock) => {
      done(lock !== null);
      return lock && new Promise(() => {});
    });
  });
}

/** Make a draft's record. */
export const draftOf = (place, pages) => ({ key: `${tab} ${place}`, tab, place, pages, at: Date.now() });

/** What this tab had before it at some place, or what a tab that is gone left there; null: nothing. */
export async function findDraft(place) {
  try {
    const own = await store.one("drafts", `${tab} ${place}`);
    if (own) return own.pages;
    return await adopt(place);
  } catch {
    return null; // no database
  }
}

/** Take over what a tab that is gone left at some place; null: nothing. */
export async function adopt(place) {
  const orphans = (await store.all("drafts")).filter((draft) => draft.place === place && draft.pages.length);
  for (const draft of orphans.sort((one, other) => other.at - one.at)) {
    if (draft.tab === tab || !(await grab(draft.tab))) continue;
    await store.write(["drafts"], (transaction) => {
      transaction.objectStore("drafts").delete(draft.key);
      transaction.objectStore("drafts").put(draftOf(place, draft.pages));
    });
    return draft.pages;
  }
  return null;
}

/**
 * Keep a draft up to date, a moment after things change.
 * @param {() => object} make gives the record as it is then
 */
export const draftKeeper = (make) =>
  settled(() => {
    const draft = make(); // as things are now, not as they are when the database is open
    store.write(["drafts"], (one) => one.objectStore("drafts").put(draft)).catch(() => {});
  }, 300);

/** Forget drafts that nobody came back for, and history that is very old. */
export async function tidy() {
  const old = Date.now() - 30 * 86_400_000;
  const [drafts, history] = await Promise.all([store.all("drafts"), store.all("history")]);
  const gone = [
    ...drafts.filter((one) => one.at < old || (!one.pages.length && one.tab !== tab)).map((one) => ["drafts", one.key]),
    ...history.slice(0, -2000).map((one) => ["history", one.n]),
  ];
  if (!gone.length) return;
  await store.write(["drafts", "history"], (transaction) => {
    for (const [name, key] of gone) transaction.objectStore(name).delete(key);
  });
}
