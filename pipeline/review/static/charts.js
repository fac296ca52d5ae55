// Hides how numbers become pictures: SVG made by hand, each with a title, words for those who do not see it, and a table.

import { h, named, number, svg } from "./dom.js";

const TALL = 200;
const EDGE = { left: 44, right: 10, top: 8, bottom: 34 };

/** Colours and words of the verdicts, from below to above; patterns tell them apart as well. */
export const SERIES = [
  { name: "keep", words: "a face" }, { name: "unsure", words: "unsure" }, { name: "reject", words: "no face" }, { name: "none", words: "nobody yet" },
];

/**
 * A figure: title, key, drawing, and the same as a table.
 * @param {{title: string, says: string, drawing: SVGElement, head: string[], rows: (string|number)[][], series?: object[]}} parts
 */
export function figure({ title, says, drawing, head, rows, series = [] }) {
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `${title}. ${says}`);
  const key = series.length > 1 ? h("ul", { class: "legend", "aria-hidden": "true" }, series.map(({ name, words }) => h("li", {}, h("span", { class: `swatch ${name}` }), words))) : null;
  return h("figure", {}, h("figcaption", {}, h("h2", {}, title), h("p", { class: "muted" }, says)), key, drawing,
    h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `${title}, table` }, table(head, rows))));
}

/** A table; what is a number stands on the right. */
export function table(head, rows) {
  const cell = (value, place) => (place === 0
    ? h("th", { scope: "row" }, typeof value === "number" ? number(value) : named(value ?? "–"))
    : h("td", { class: typeof value === "number" ? "number" : "" }, typeof value === "number" ? trimmed(value) : (value ?? "–")));
  return h("table", {},
    h("thead", {}, h("tr", {}, head.map((words, place) => h("th", { scope: "col", class: place && typeof rows[0]?.[place] === "number" ? "number" : "" }, words)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

const trimmed = (value) => (Number.isInteger(value) ? number(value) : value.toFixed(2));

/** Bars that stand on each other, one for each row; `label` names a row under its bar. */
export function columns(rows, series, { wide, label, unit }) {
  const sums = rows.map((row) => series.reduce((sum, { name }) => sum + (row[name] ?? 0), 0));
  const plot = frame(wide, niceTop(Math.max(1, ...sums)), unit);
  const step = plot.width / Math.max(1, rows.length);
  rows.forEach((row, place) => {
    let below = 0;
    for (const { name } of series) {
      const count = row[name] ?? 0;
      if (!count) continue;
      const top = plot.y(below + count);
      plot.drawing.append(svg("rect", { class: `part ${name}`, x: plot.left + place * step + 1, y: top, width: Math.max(1, Math.min(48, step - 2)), height: Math.max(.75, plot.y(below) - top) }));
      below += count;
    }
  });
  const every = Math.max(1, Math.ceil(rows.length / Math.max(2, plot.width / 62)));
  rows.forEach((row, place) => { if (place % every === 0) plot.under(plot.left + place * step + 1, label(row), "start"); });
  return plot.drawing;
}

/** A bar for each row, lying; as long as its share of the longest. */
export function lines(rows, series, { wide, label }) {
  const row = 24;
  const names = Math.min(170, wide * .34);
  const sums = rows.map((one) => series.reduce((sum, { name }) => sum + (one[name] ?? 0), 0));
  const most = Math.max(1, ...sums);
  const drawing = svg("svg", { viewBox: `0 0 ${wide} ${rows.length * row + 6}`, class: "chart" });
  rows.forEach((one, place) => {
    const text = svg("text", { x: names - 8, y: place * row + 16, "text-anchor": "end" });
    text.textContent = short(label(one), Math.floor(names / 7.5));
    drawing.append(text);
    let x = names;
    for (const { name } of series) {
      const long = ((one[name] ?? 0) / most) * (wide - names - 52);
      if (long) drawing.append(svg("rect", { class: `part ${name}`, x, y: place * row + 3, width: Math.max(1, long), height: row - 8 }));
      x += long;
    }
    const count = svg("text", { x: x + 6, y: place * row + 16 });
    count.textContent = number(sums[place]);
    drawing.append(count);
  });
  return drawing;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** A line through points (x, y), from the left below. */
export function curve(xs, ys, { wide, across, unit }) {
  const plot = frame(wide, niceTop(Math.max(1, ...ys)), unit);
  const most = Math.max(1, xs.at(-1) ?? 1);
  const x = (value) => plot.left + (value / most) * plot.width;
  const points = xs.map((value, place) => `${x(value).toFixed(1)},${plot.y(ys[place]).toFixed(1)}`);
  plot.drawing.append(svg("polyline", { class: "line", points: points.join(" ") }));
  for (const share of most < 2 ? [0, 1] : [0, .5, 1]) plot.under(x(most * share), number(most * share), share === 1 ? "end" : share ? "middle" : "start");
  plot.under(plot.left + plot.width / 2, across, "middle", 14);
  return plot.drawing;
}

/** A dot for each value, in order, and their median as a line. */
export function dots(values, { wide, across, unit, middle }) {
  const plot = frame(wide, niceTop(Math.max(1, ...values)), unit);
  const step = plot.width / Math.max(1, values.length);
  plot.drawing.append(svg("line", { class: "median", x1: plot.left, x2: plot.left + plot.width, y1: plot.y(middle), y2: plot.y(middle) }));
  values.forEach((value, place) => plot.drawing.append(svg("circle", { class: "dot", cx: plot.left + (place + .5) * step, cy: plot.y(value), r: 3 })));
  plot.under(plot.left + plot.width / 2, across, "middle");
  return plot.drawing;
}

/** Axes; `y` turns a value into a place. */
function frame(wide, top, unit) {
  const drawing = svg("svg", { viewBox: `0 0 ${wide} ${TALL}`, class: "chart" });
  const tall = TALL - EDGE.top - EDGE.bottom;
  const width = wide - EDGE.left - EDGE.right;
  const y = (value) => EDGE.top + tall - (value / top) * tall;
  for (const share of [0, .5, 1]) {
    const value = top * share;
    drawing.append(svg("line", { class: "grid", x1: EDGE.left, x2: wide - EDGE.right, y1: y(value), y2: y(value) }));
    const text = svg("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" });
    text.textContent = share === 1 && unit ? `${number(value)} ${unit}` : trimmedAxis(value);
    drawing.append(text);
  }
  const under = (x, words, anchor, lower = 0) => {
    const text = svg("text", { x, y: TALL - EDGE.bottom + 15 + lower, "text-anchor": anchor });
    text.textContent = words;
    drawing.append(text);
  };
  return { drawing, left: EDGE.left, width, y, under };
}

const trimmedAxis = (value) => (Number.isInteger(value) ? number(value) : value.toFixed(1));

/** The next round number. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((one) => one * power).find((one) => one >= value);
}
