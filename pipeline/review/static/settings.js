// Hides what a person likes, kept in this browser.

const PLACE = "kaoset.settings";
const NAME = "kaoset.reviewer";

const USUAL = {
  pageSize: 60,
  askQuick: true, // whether a page that was looked at too shortly asks once more
  captions: false,
  panel: null, // whether the filters are open; null: where there is room
  letters: true, // whether keys without Ctrl do anything
  keys: {}, // action -> keys, where they differ from the table's
  pinned: [], // labels that keep their number
  family: true,
};

const listeners = new Set();

/** All settings; read them, and write them by `set`. */
export const settings = { ...USUAL, ...read() };

function read() {
  try {
    const said = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
    return Object.fromEntries(Object.entries(said).filter(([name]) => name in USUAL));
  } catch {
    return {}; // damaged, or no storage: the usual ones do
  }
}

/** Change some settings, and tell whoever cares. */
export function set(changes) {
  Object.assign(settings, changes);
  keep(PLACE, JSON.stringify(settings));
  for (const listener of listeners) listener(changes);
}

/** Be told of changes. */
export const onSettings = (listener) => listeners.add(listener);

/** The name under which this browser's person decides; "": not known yet. */
export function reviewer() {
  try {
    return localStorage.getItem(NAME) ?? unsavedName;
  } catch {
    return unsavedName;
  }
}

let unsavedName = "";

/** Keep the person's name. */
export function setReviewer(name) {
  unsavedName = name;
  keep(NAME, name);
}

function keep(place, text) {
  try {
    localStorage.setItem(place, text);
  } catch {
    // Full or forbidden: it holds until the page is closed.
  }
}
