// Experiments: model versions, where they come from, and their metrics beside each other.

import {get} from "../lib/api.js";
import {empty, facts, h, outside, select} from "../lib/dom.js";
import {bars} from "../lib/charts.js";
import {bytes, decimal, moment, name, shortModel, words} from "../lib/format.js";
import {table} from "../lib/table.js";

const FIRST = ["eval_loss", "train_loss"];

export default async function experiments({persona}) {
  const found = await get(`/ui/api/${persona}/models`);
  const title = h("h1", {}, "Experiments");
  if (!found.length) return [title, empty("No model yet", "Training starts by itself when a dataset is there. Its versions appear here.", h("a", {class: "button", href: "#/library/datasets"}, "See the datasets"))];
  const metrics = [...new Set(found.flatMap(one => Object.keys(one.metrics)))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const shown = metrics.slice(0, 4), chosen = new Set(), side = h("div"), chart = h("div");

  const tick = one => {
    const box = h("input", {type: "checkbox", "aria-label": `Compare ${one.tag}`, on: {change: () => {
      if (box.checked) chosen.add(one); else chosen.delete(one);
      side.replaceChildren(...(chosen.size > 1 ? [compared([...chosen], metrics)] : []));
    }}});
    return box;
  };
  const draw = metric => {
    const measured = found.filter(one => one.metrics[metric] != null).reverse();
    chart.replaceChildren(bars(`${words(metric)} by version, oldest first`, measured.map(one => shortModel(one.tag).slice(0, 11)),
      [{name: words(metric), values: measured.map(one => one.metrics[metric])}], value => decimal(value)));
  };
  if (metrics.length) draw(metrics[0]);
  return [
    title,
    metrics.length ? h("section", {class: "card"}, h("header", {}, h("h2", {}, "Metric"), select("Metric", metrics.map(one => [one, words(one)]), metrics[0], draw)), chart) : null,
    h("p", {class: "meta"}, "Tick two or more versions to see how they differ."), side,
    table("Model versions", [
      ["Compare", tick], ["Version", row => h("details", {}, h("summary", {}, h("code", {}, shortModel(row.tag))), lineage(row))],
      ["State", row => row.state ? h("span", {class: `badge ${row.state}`}, words(row.state)) : "–"],
      ["Made", row => moment(row.created_at)],
      ...shown.map(metric => [words(metric), row => decimal(row.metrics[metric]), "number"]),
    ], found),
  ].filter(Boolean);
}

const rank = metric => FIRST.includes(metric) ? FIRST.indexOf(metric) : FIRST.length;

const facets = row => ({
  version: row.tag, stage: name(row.lineage.stage), profile: row.lineage.profile, parent: row.lineage.parent ?? "none",
  datasets: Object.entries(row.lineage.datasets).map(([kind, version]) => `${kind} ${version}`).join(", ") || "none",
  configuration: row.lineage.config_hash, code: row.lineage.code_version, prompts: row.lineage.prompts, seed: String(row.lineage.seed),
  weights: row.weights_hash, "stands on": row.base?.tag ?? "nothing: a whole model", size: bytes(row.size_bytes),
});

const lineage = row => facts([...Object.entries(facets(row)).map(([key, value]) => [key, value]),
  ["run", row.run_link ? outside(row.run_link, row.run_link) : null],
  ["metrics", Object.entries(row.metrics).map(([key, value]) => `${words(key)} ${decimal(value)}`).join(", ")]]);

/** What differs between versions, and their metrics. */
function compared(rows, metrics) {
  const all = rows.map(facets);
  const different = Object.keys(all[0]).filter(key => key !== "version" && new Set(all.map(one => one[key])).size > 1);
  const lines = [
    ...different.map(key => ({what: key, of: all.map(one => one[key])})),
    ...metrics.map(metric => ({what: words(metric), of: rows.map(row => decimal(row.metrics[metric]))})),
  ];
  return h("section", {class: "card"}, h("h2", {}, "Differences"),
    table("Differences", [["", line => line.what], ...rows.map((row, n) => [shortModel(row.tag), line => line.of[n]])], lines));
}
