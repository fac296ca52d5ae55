// Hides where a crop comes from: the whole image with all boxes, its near-copies, its siblings, what was said of it.

import { get } from "./api.js";
import { button, clip, fill, fraction, h, named, openDialog, svg, when } from "./dom.js";
import { closeOn, factList, VERDICTS } from "./face.js";
import { keysOf, ACTIONS, nameOf } from "./keys.js";
import { contextUrl, cropUrl, load } from "./pictures.js";

/**
 * The whole image with its boxes drawn over it; the image itself is untouched.
 * @param {object} told what GET /api/crops/<sha256> gave
 */
export function wholeImage(told) {
  const { width, height } = told.image;
  const image = h("img", { alt: `the whole image, ${width} × ${height} pixels, with ${told.boxes.length} boxes`, width, height });
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, windowOf(told.window), told.boxes.map(boxOf));
  const frame = h("div", { class: "whole" }, image, drawn);
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style.setProperty("--ratio", width / height);
  load(image, contextUrl(told.crop), () => frame.isConnected);
  return frame;
}

function boxOf({ left, top, width, height, this: own, verdict }) {
  const place = { x: left, y: top, width, height, "vector-effect": "non-scaling-stroke" };
  const kind = own ? "own" : `other ${verdict ?? ""}`;
  return svg("g", { class: kind }, svg("rect", { ...place, class: "under" }), svg("rect", { ...place, class: "over" }));
}

function windowOf({ left, top, side, turned } = {}) {
  if (!side) return null;
  const middle = `${left + side / 2} ${top + side / 2}`;
  return svg("rect", { class: "window", x: left, y: top, width: side, height: side, transform: `rotate(${turned ?? 0} ${middle})`, "vector-effect": "non-scaling-stroke" });
}

/**
 * Open the dialog of a crop.
 * @param {string} crop
 * @param {{decide?: (crop: string, verdict: string) => void, step?: (by: number) => string | null}} ways
 *   decide: what the buttons do; step: the crop beside it on the page
 */
export async function openContext(crop, { decide = null, step = null } = {}) {
  const body = h("div", { class: "context", "aria-live": "off" });
  const dialog = openDialog("Where it comes from", body, { wide: true });
  dialog.classList.add("tall");
  const show = async (sha256) => {
    crop = sha256;
    body.setAttribute("aria-busy", "true");
    try {
      const told = await get(`crops/${sha256}`);
      if (crop === sha256) fill(body, content(told, { decide, show, dialog }));
    } catch (error) {
      body.replaceChildren(h("p", { class: "notice" }, error.message));
    }
    body.removeAttribute("aria-busy");
  };
  closeOn(dialog, "context");
  dialog.addEventListener("keydown", (event) => onKey(event, { decide, step, show, dialog, crop: () => crop }));
  await show(crop);
}

function onKey(event, { decide, step, show, dialog, crop }) {
  const key = nameOf(event);
  const verdict = ["reject", "unsure", "keep"].find((id) => keysOf(ACTIONS.find((one) => one.id === id)).includes(key));
  const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (verdict && decide && key !== "Space") {
    decide(crop(), verdict);
    dialog.close();
  } else if (by && step) {
    const other = step(by);
    if (other) show(other);
  } else return;
  event.preventDefault();
}

function content(told, { decide, show, dialog }) {
  const own = told.boxes.find((box) => box.this) ?? {};
  const buttons = decide && h("p", { class: "row" }, Object.entries(VERDICTS).map(([verdict, { words, mark }]) =>
    button(`${mark} ${words}`, () => { decide(told.crop, verdict); dialog.close(); })));
  return [
    h("div", { class: "place" }, wholeImage(told)),
    h("div", { class: "known" },
      h("div", { class: "pair" }, h("img", { class: "crop", src: cropUrl(told.crop), alt: "the crop", width: 160, height: 160 }), factList(facts(told, own))),
      buttons,
      strip("Near-copies, decided as one", told.members, show),
      strip("Other faces in this image", told.siblings, show),
      history(told.history),
      tags(told.post)),
  ];
}

function facts(told, own) {
  const { post, window: cut } = told;
  return [
    ["Score", fraction(own.score)],
    ["Seen by", [named(own.detector || "–"), own.agreed ? " (several agree)" : ""]],
    own.evidence?.length ? ["Evidence", own.evidence.map(([name, value], place) => [place ? " · " : "", named(name), ` ${fraction(value)}`]).flat()] : null,
    ["Box", own.width ? `${Math.round(own.width)} × ${Math.round(own.height)} px of ${told.image.width} × ${told.image.height}` : "–"],
    cut?.side ? ["Cut", `${Math.round(cut.side)} px a side${cut.turned ? `, turned by ${cut.turned.toFixed(0)}°` : ""}`] : null,
    post ? ["Post", post.page_url ? link(post) : named(post.id)] : null,
    post?.posted_at ? ["Posted", when(post.posted_at)] : null,
    post?.rating ? ["Rating", named(post.rating)] : null,
    post?.artists?.length ? ["Artists", post.artists.slice(0, 8).map((name) => [named(name), " "])] : null,
  ].filter(Boolean).map(([name, value]) => [name, Array.isArray(value) ? value.flat() : value]);
}

/** The server gives only addresses of the web; what opens knows nothing of this page. */
function link({ id, page_url: address }) {
  return h("a", { href: /^https?:\/\//.test(address) ? address : null, target: "_blank", rel: "noopener noreferrer" }, named(id));
}

function strip(title, items, show) {
  if (!items.length) return null;
  const pictures = items.slice(0, 24).map((item) => h("li", {}, h("button", { type: "button", class: "picture", on: { click: () => show(item.crop) }, "aria-label": `score ${fraction(item.score)}${item.verdict ? `, ${VERDICTS[item.verdict].words}` : ""}` },
    h("img", { src: cropUrl(item.crop), alt: "", width: 72, height: 72 }))));
  const more = items.length > 24 ? h("li", { class: "muted" }, `and ${items.length - 24} more`) : null;
  return h("section", {}, h("h3", {}, `${title} (${items.length})`), h("ul", { class: "strip" }, pictures, more));
}

function history(rows) {
  if (!rows.length) return null;
  const lines = rows.map(({ verdict, label, reviewer, via, at, undone }) => h("li", { class: undone ? "undone" : "" },
    h("strong", {}, VERDICTS[verdict]?.words ?? verdict), label ? [" · ", named(label)] : null, " · ", named(reviewer || "somebody"), ` · ${via} · ${when(at)}`, undone ? " · taken back" : ""));
  return h("section", {}, h("h3", {}, "What was said of it"), h("ol", { class: "said" }, lines));
}

function tags(post) {
  if (!post?.tags?.length) return null;
  const shown = post.tags.slice(0, 200).map((tag) => h("li", {}, named(clip(tag, 300))));
  return h("details", {}, h("summary", {}, `Tags (${post.tags.length})`), h("ul", { class: "tags" }, shown));
}
