// Monitoring: how much the twin is used, how quick it is, and what people say.

import {get} from "../lib/api.js";
import {bars, lines} from "../lib/charts.js";
import {empty, h, select} from "../lib/dom.js";
import {millis, moment, number, share, shortModel, words} from "../lib/format.js";
import {table} from "../lib/table.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const DAY_MS = 86_400_000;

export default async function monitoring({persona}) {
  const place = h("div");
  const load = async days => place.replaceChildren(...shown(await get(`/ui/api/${persona}/monitoring?days=${days}`), days).flat().filter(Boolean));
  await load("30");
  return [h("div", {class: "title"}, h("h1", {}, "Monitoring"), select("Period", SPANS, "30", load)), place];
}

const tile = (label, value, note) => h("div", {class: "tile"}, h("span", {class: "meta"}, label), h("strong", {}, value), note ? h("small", {class: "meta"}, note) : null);
const short = value => value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(+value.toFixed(1));

function shown(found, days) {
  const [total] = found.total;
  if (!total) return [empty("No requests yet", `Nobody has asked anything in the last ${days} days. Write something, and it is counted here.`, h("a", {class: "button", href: "#/write"}, "Write"))];
  const byDay = new Map(found.days.map(one => [one.group, one]));
  const first = Date.parse(found.days[0].group), span = Math.round((Date.now() - first) / DAY_MS);
  const dates = Array.from({length: span + 1}, (_, n) => new Date(first + n * DAY_MS).toISOString().slice(0, 10)).filter(date => date <= new Date().toISOString().slice(0, 10));
  const labels = dates.map(date => new Date(date).toLocaleDateString("en-GB", {day: "numeric", month: "short", timeZone: "UTC"}));
  const of = key => dates.map(date => byDay.get(date)?.[key] ?? 0);
  const known = key => dates.map(date => byDay.get(date)?.[key] ?? null);
  const {feedback} = found;
  return [
    h("div", {class: "tiles"},
      tile("Requests", number(total.requests), `${number(total.failed)} failed`), tile("Median latency", millis(total.latency_p50), `95% within ${millis(total.latency_p95)}`),
      tile("Declined", share(total.refused / total.requests)), tile("Tokens", short(total.tokens_in + total.tokens_out), `${short(total.tokens_out)} written`),
      tile("Feedback, good / bad", `${number(feedback.up)} / ${number(feedback.down)}`, `corrected: ${number(feedback.edited)}`)),
    h("div", {class: "charts"},
      bars("Requests a day", labels, [{name: "answered", values: of("answered")}, {name: "declined", values: of("refused")}, {name: "failed", values: of("failed")}], short),
      lines("Latency", labels, [{name: "median", values: known("latency_p50")}, {name: "95th percentile", values: known("latency_p95")}], millis),
      lines("Share declined", labels, [{name: "declined", values: dates.map(date => byDay.has(date) ? byDay.get(date).refused / byDay.get(date).requests : null)}], share),
      bars("Tokens a day", labels, [{name: "read", values: of("tokens_in")}, {name: "written", values: of("tokens_out")}], short)),
    h("h2", {}, "By version"), table("Use by model version", [
      ["Version", row => h("code", {}, shortModel(row.group))], ["Requests", row => number(row.requests), "number"], ["Declined", row => share(row.refused / row.requests), "number"],
      ["Failed", row => number(row.failed), "number"], ["Median", row => millis(row.latency_p50), "number"], ["95%", row => millis(row.latency_p95), "number"],
      ["Tokens", row => number(row.tokens_in + row.tokens_out), "number"], ["Good / bad", row => `${row.up} / ${row.down}`, "number"],
    ], found.versions),
    feedback.comments.length ? [h("h2", {}, "What people say"), h("ul", {class: "comments"}, feedback.comments.map(one => h("li", {}, one.comment, h("small", {class: "meta"}, ` ${one.thumb === "down" ? "bad" : one.thumb === "up" ? "good" : ""} · ${moment(one.time)}`))))] : null,
    h("h2", {}, "Latest requests"), table("Latest requests", [
      ["When", row => moment(row.time)], ["Asked", row => row.prompt ?? "text not kept"], ["Kind", row => words(row.prompt_kind)],
      ["Outcome", row => h("span", {class: `badge ${row.outcome}`}, row.outcome === "refused" ? "declined" : row.outcome)], ["Took", row => millis(row.ms), "number"],
    ], found.latest),
  ];
}
