// Small charts: bars, lines, and intervals. Drawn at 340 units wide, so that text is readable on a phone.

import {h} from "./dom.js";

const W = 340, H = 150, LEFT = 44, RIGHT = 6, TOP = 8, BOTTOM = 20;
const y = (value, top) => TOP + (H - TOP - BOTTOM) * (1 - value / top);

/** The next round number above. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map(step => step * unit).find(step => step >= value);
}

function frame(title, labels, top, format, marks) {
  const lines = [0, 0.5, 1].map(part => h("g", {class: "grid"},
    h("line", {x1: LEFT, x2: W - RIGHT, y1: y(part, 1), y2: y(part, 1)}),
    h("text", {x: LEFT - 5, y: y(part, 1) + 3.5, "text-anchor": "end"}, format(top * part))));
  const every = Math.max(1, Math.ceil(labels.length / 5));
  const slot = (W - LEFT - RIGHT) / labels.length;
  const ticks = labels.map((label, n) => n % every ? null
    : h("text", {x: LEFT + slot * (n + 0.5), y: H - 5, "text-anchor": "middle"}, label));
  return h("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title, class: "chart"}, lines, ticks, marks);
}

const legend = series => series.length < 2 ? null : h("p", {class: "legend"},
  series.map((one, n) => h("span", {class: `key s${n}`}, one.name)));

const figure = (title, svg, series) => h("figure", {}, h("figcaption", {}, title), svg, legend(series));

/** Stacked bars. `series` are {name, values}, each with one value a label. */
export function bars(title, labels, series, format = String) {
  const totals = labels.map((_, n) => series.reduce((sum, one) => sum + (one.values[n] ?? 0), 0));
  const top = ceiling(Math.max(...totals, 0)), slot = (W - LEFT - RIGHT) / Math.max(labels.length, 1);
  const width = Math.min(slot * 0.7, 40);
  const marks = labels.map((label, n) => {
    let below = 0;
    return series.map((one, s) => {
      const value = one.values[n] ?? 0, from = y(below, top), to = y(below + value, top);
      below += value;
      return value ? h("rect", {
        class: `s${s}`, x: LEFT + slot * (n + 0.5) - width / 2, width, y: to, height: from - to, rx: 1.5,
      }, h("title", {}, `${label}: ${one.name} ${format(value)}`)) : null;
    });
  });
  return figure(title, frame(title, labels, top, format, marks), series);
}

/** Lines; a null value is a gap. They end at `most` where that is given. */
export function lines(title, labels, series, format = String, most = null) {
  const known = series.flatMap(one => one.values).filter(value => value != null);
  const top = most ?? ceiling(Math.max(...known, 0)), slot = (W - LEFT - RIGHT) / Math.max(labels.length, 1);
  const marks = series.map((one, s) => {
    const points = one.values.map((value, n) => value == null ? null : [LEFT + slot * (n + 0.5), y(value, top), n]).filter(Boolean);
    return h("g", {class: `line s${s}`},
      h("polyline", {points: points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ")}),
      points.map(([cx, cy, n]) => h("circle", {cx, cy, r: 2.4}, h("title", {}, `${labels[n]}: ${one.name} ${format(one.values[n])}`))));
  });
  return figure(title, frame(title, labels, top, format, marks), series);
}

/** Values with their intervals around zero, one row each: {name, value, low, high, kind}. */
export function intervals(title, rows, format) {
  const measured = rows.filter(row => row.value != null);
  const reach = Math.max(...measured.flatMap(row => [Math.abs(row.low ?? row.value), Math.abs(row.high ?? row.value)]), 0.1) * 1.1;
  const middle = 235, half = 98, height = measured.length * 24 + 8, x = value => middle + value / reach * half;
  return h("figure", {}, h("figcaption", {}, title),
    h("svg", {viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": title, class: "chart"},
      h("g", {class: "grid"}, h("line", {x1: middle, x2: middle, y1: 2, y2: height - 2})),
      measured.map((row, n) => {
        const at = n * 24 + 16;
        return h("g", {class: `interval ${row.kind}`},
          h("text", {x: 0, y: at + 4}, row.name),
          h("line", {x1: x(row.low ?? row.value), x2: x(row.high ?? row.value), y1: at, y2: at}),
          h("circle", {cx: x(row.value), cy: at, r: 4}, h("title", {}, `${row.name}: ${format(row.value)}`)));
      })));
}

/**
 * Shares from 0 to 1 with their intervals, one row each: {name, value, low, high, kind}. `ends` says what 0 and 1 are; a row
 * without a value says so.
 */
export function shares(title, rows, ends, format) {
  const from = 138, to = W - 8, height = rows.length * 24 + 24, x = value => from + Math.min(Math.max(value, 0), 1) * (to - from);
  return h("figure", {}, h("figcaption", {}, title),
    h("svg", {viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": title, class: "chart"},
      h("g", {class: "grid"}, [0, 1].map(end => h("line", {x1: x(end), x2: x(end), y1: 2, y2: height - 18}))),
      h("text", {x: from, y: height - 4}, ends[0]), h("text", {x: to, y: height - 4, "text-anchor": "end"}, ends[1]),
      rows.map((row, n) => {
        const at = n * 24 + 16, name = h("text", {x: 0, y: at + 4}, row.name);
        return h("g", {class: `interval ${row.kind}`}, name, row.value == null
          ? h("text", {x: from + 6, y: at + 4}, "no figure")
          : [h("line", {x1: x(row.low ?? row.value), x2: x(row.high ?? row.value), y1: at, y2: at}),
            h("circle", {cx: x(row.value), cy: at, r: 4}, h("title", {}, `${row.name}: ${format(row.value)}`))]);
      })));
}
