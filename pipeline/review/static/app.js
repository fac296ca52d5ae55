// Hides how the page begins: who is here, what was left unsent, and which view is shown.

import * as chrome from "./chrome.js";
import { banner, h, pause } from "./dom.js";
import { openHelp, openSettings } from "./dialogs.js";
import * as filters from "./filters.js";
import * as keys from "./keys.js";
import * as outbox from "./outbox.js";
import { reviewer, setReviewer } from "./settings.js";
import { becomeTab, tidy } from "./tab.js";
import { recall } from "./undo.js";

const AROUND_MS = 1500; // what stands around the first page is asked for after it, or where it does not come
const LABELLING = "verdict=keep&label="; // faces without a name

const view = document.body.dataset.view;
const main = document.getElementById("work");

/** Filters stay with a person between views that ask for the same crops. */
function keepFilters() {
  for (const link of document.querySelectorAll("[data-view-link]")) {
    const other = link.dataset.viewLink;
    link.search = view === "label" || other === "label" ? (other === view ? location.search : "") : location.search;
  }
}

async function begin() {
  const { reviewer: usual, sizes } = document.body.dataset;
  if (!reviewer()) setReviewer(usual);
  await Promise.all([outbox.start(), becomeTab().then(recall)]);
  filters.begin(view === "label" ? LABELLING : "");
  filters.onFilters(keepFilters);
  keepFilters();
  const progress = chrome.begin(filters.query);
  filters.onFilters(progress);
  for (const name of ["grid", "single", "label", "stats"]) keys.act({ [name]: () => chrome.goTo(name) });
  keys.act({ help: openHelp });
  for (const [id, open] of [["help", openHelp], ["who", openSettings]]) {
    const opener = document.getElementById(id);
    opener.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays where keys act
    opener.addEventListener("click", open);
  }
  keys.listen();
  const { start } = await import(`./${view}.js`);
  const begun = start(main, sizes.split(" ").map(Number));
  await Promise.race([begun, pause(AROUND_MS)]);
  progress.flush();
  filters.refresh();
  await begun;
  tidy().catch(() => {}); // without a database there is nothing to tidy
}

begin().catch((error) => {
  banner("boot", h("p", {}, h("strong", {}, "The page cannot begin: "), `${error.message}. Load it again.`));
  throw error;
});
