// Hides the small menu of a crop, for a right click or a long press.

import { h } from "./dom.js";

/**
 * Open it at a point of the window.
 * @param {[string, () => void][]} entries words and what they do
 * @param {() => void} after called when it closes, to put the focus back
 */
export function openMenu(x, y, entries, after) {
  const items = entries.map(([words, act]) => h("button", { type: "button", role: "menuitem", tabindex: "-1", on: { click: () => { menu.hidePopover(); act(); } } }, words));
  const menu = h("div", { class: "menu", role: "menu", popover: "manual", "aria-label": "This crop" }, items);
  document.getElementById("work").append(menu); // where whoever goes by landmarks finds it
  menu.addEventListener("keydown", (event) => onKey(event, items, menu));
  // A popover that closes by itself would do so when the finger that opened it is lifted.
  const outside = (event) => { if (!menu.contains(event.target)) menu.hidePopover(); };
  document.addEventListener("pointerdown", outside, true);
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    document.removeEventListener("pointerdown", outside, true);
    menu.remove();
    if (!document.querySelector("dialog[open]")) after();
  });
  menu.showPopover();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, innerHeight - height - 4))}px`;
  items[0].focus();
}

function onKey(event, items, menu) {
  const place = items.indexOf(document.activeElement);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: items.length - 1 }[event.key];
  if (event.key === "Tab" || event.key === "Escape") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items[(to + items.length) % items.length].focus();
}
