// Monitoring: what is wrong now, how much the twin is used, what it costs, how quick and how good it is, and what people
// say. On a narrow screen all but what matters first is folded.

import {get} from "../lib/api.js";
import {bars, intervals, lines, shares} from "../lib/charts.js";
import {empty, h, select} from "../lib/dom.js";
import {capital, dollars, figure, millis, moment, number, share, shortModel, signed, words} from "../lib/format.js";
import {table} from "../lib/table.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const DAY_MS = 86_400_000;

export default async function monitoring({persona, start: {personas}}) {
  const {paused} = personas.find(one => one.name === persona);
  const place = h("div");
  const load = async days => place.replaceChildren(...shown({...await get(`/ui/api/${persona}/monitoring?days=${days}`), persona}, days).flat(Infinity).filter(Boolean));
  await load("30");
  return [h("div", {class: "title"}, h("h1", {}, "Monitoring"), select("Period", SPANS, "30", load)),
    paused ? h("p", {class: "warned", role: "note"}, `${capital(paused)}. Nothing is crawled, built, trained or evaluated by itself. Go on with: twin personas resume ${persona}`) : null, place].filter(Boolean);
}

const tile = (label, value, note) => h("div", {class: "tile"}, h("span", {class: "meta"}, label), h("strong", {}, value), note ? h("small", {class: "meta"}, note) : null);
const short = value => value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(+value.toFixed(1));

/** A part with a heading, open where there is room. */
const group = (title, ...content) => h("details", {class: "group", open: matchMedia("(min-width: 761px)").matches}, h("summary", {}, h("h2", {}, title)), content);

const used = (heading, rows, cell) => group(`By ${heading}`, table(`Use by ${heading}`, [
  [capital(heading), cell], ["Requests", row => number(row.requests), "number"], ["Failed", row => number(row.failed), "number"],
  ["Median", row => millis(row.latency_p50), "number"], ["95%", row => millis(row.latency_p95), "number"],
  ["Tokens", row => number(row.tokens_in + row.tokens_out), "number"], ["Cost", row => dollars(row.cost), "number"],
], rows));

const SEVERITIES = ["critical", "warning", "notice"];

/** Alerts that stand, worst first; a word where there are none. */
function alerts(found) {
  if (found.alerts.length) {
    const worst = [...found.alerts].sort((one, other) => SEVERITIES.indexOf(one.alert.severity) - SEVERITIES.indexOf(other.alert.severity));
    const bad = worst[0].alert.severity !== "notice";
    return h("section", {class: `card standing${bad ? " bad" : ""}`, "aria-label": "Alerts"}, h("h2", {}, worst.length === 1 ? `1 ${bad ? "alert stands" : "thing waits"}` : `${number(worst.length)} ${bad ? "alerts stand" : "things wait"}`),
      h("ul", {}, worst.map(({alert}) => h("li", {}, h("details", {}, h("summary", {}, alert.what),
        h("p", {class: "meta"}, `Since ${moment(alert.since)}. ${alert.how_bad}${/[.!?]$/.test(alert.how_bad) ? "" : "."} `, h("a", {href: alert.link}, "Look at it in Dagster")), alert.advice ? h("p", {class: "meta"}, alert.advice) : null)))));
  }
  if (!found.drift_at) return h("p", {class: "standing meta"}, "Nothing was compared with the release yet. The hourly job `monitor` in Dagster does it.");
  return h("p", {class: "standing"}, h("span", {class: "badge success"}, "no alerts"), h("span", {class: "meta"}, ` Last looked at ${moment(found.drift_at)}.`));
}

const FAMILIES = {persona: "Their writing", traffic: "What is asked", quality: "How it is answered", cost: "A day's money"};

/** What the last look compared with the release. */
const drift = signals => !signals.length ? null : group("Since the release", table("Signals of drift", [
  ["What", signal => FAMILIES[signal.family] ?? signal.family], ["Found", signal => signal.sentence],
  ["", signal => h("span", {class: `badge ${signal.drifted ? "failed" : "answered"}`}, signal.drifted ? "drifted" : "as before")],
], signals));

/** Scores by version and day; they come from the hourly run, so the latest requests have none yet. */
function quality({versions, days, voices, voice_days: byDays, scored_until: until}, dates, labels) {
  if (!versions.length) return group("Quality", h("p", {class: "meta"}, "Nothing is scored yet. The hourly job `monitor` in Dagster scores what was logged."));
  const byDay = new Map(days.map(one => [one.group, one]));
  const of = key => dates.map(date => byDay.get(date)?.[key] ?? null);
  // Nonsense of an author's words is near to any author: where texts don't read as language, no voice is shown.
  const noise = new Set(versions.filter(one => one.noise).map(one => one.group));
  const said = voices.filter(one => !noise.has(one.model)), figured = said.filter(one => one.figure != null), before = said.filter(one => one.figure == null && one.margin != null);
  // A day has a figure or the margin of before; the two are never in one chart.
  const curve = key => [...new Set(byDays.filter(one => one[key] != null).map(one => one.model))].map(model => {
    const mine = new Map(byDays.filter(one => one.model === model).map(one => [one.day, one[key]]));
    return {name: shortModel(model), values: dates.map(date => mine.get(date) ?? null)};
  });
  const figures = curve("figure"), margins = curve("margin");
  return group("Quality", h("p", {class: "meta"}, `Scored up to ${moment(until)}. Claims are checked on a sample of answers; leaks and abuse in all.`),
    h("div", {class: "charts"},
      lines("Claims that the passages support", labels, [{name: "supported", values: of("grounded")}], share),
      lines("Best passage's score", labels, [{name: "median", values: of("top_score_p50")}, {name: "lowest tenth", values: of("top_score_p10")}], share),
      figured.length ? shares("Voice of texts", figured.map(one => ({name: shortModel(one.model), value: one.figure, low: one.figure_low, high: one.figure_high, kind: "ours"})), ["0: as other people", "1: as the author"], figure)
      : before.length ? intervals("Old measure: voice margin of texts, which noise raises", before.map(one => ({name: shortModel(one.model), value: one.margin, low: one.margin_low, high: one.margin_high, kind: "ours"})), signed) : null,
      lines("Passages that read as language", labels, [{name: "in the author's range", values: of("reads")}, {name: "worse than nearly all of the author's", values: of("far")}], share),
      figures.length ? lines("Voice by day (0: other people, 1: the author)", labels, figures, figure, 1) : null,
      margins.length ? table("Old measure: voice margin by day", [
        ["Day", row => row.day], ["Version", row => h("code", {}, shortModel(row.model))], ["Margin", row => signed(row.margin), "number"],
      ], byDays.filter(one => one.margin != null)) : null),
    [...noise].map(model => h("p", {class: "warned", role: "note"}, `${shortModel(model)} does not read as language, so that its voice can't be said.`)),
    said.filter(one => one.note).map(one => h("p", {class: "meta"}, `${shortModel(one.model)}: ${one.note}.`)),
    table("Quality by model version", [
      ["Version", row => h("code", {}, shortModel(row.group))],
      ["Supported", row => row.grounded_low == null ? share(row.grounded) : `${share(row.grounded)} (${share(row.grounded_low)}–${share(row.grounded_high)})`, "number"],
      ["Reads as language", row => share(row.reads), "number"],
      ["of answers", row => number(row.grounded_answers), "number"], ["Declined", row => share(row.declined), "number"],
      ["Leaks", row => number(row.leaks), "number"], ["Abuse", row => number(row.toxic), "number"], ["Texts", row => number(row.texts), "number"],
    ], versions));
}

function shown(found, days) {
  const {total} = found;
  if (!total) return [found.alerts.length ? alerts(found) : null, empty("No requests yet", `Nobody has asked anything in the last ${days} days. Write something, and it is counted here.`, h("a", {class: "button", href: "#/write"}, "Write"))];
  const byDay = new Map(found.days.map(one => [one.group, one]));
  const first = Date.parse(found.days[0].group), span = Math.round((Date.now() - first) / DAY_MS);
  const dates = Array.from({length: span + 1}, (_, n) => new Date(first + n * DAY_MS).toISOString().slice(0, 10)).filter(date => date <= new Date().toISOString().slice(0, 10));
  const labels = dates.map(date => new Date(date).toLocaleDateString("en-GB", {day: "numeric", month: "short", timeZone: "UTC"}));
  const of = key => dates.map(date => byDay.get(date)?.[key] ?? 0);
  const known = key => dates.map(date => byDay.get(date)?.[key] ?? null);
  const {feedback} = found;
  return [
    alerts(found),
    h("div", {class: "tiles"},
      tile("Requests", number(total.requests), `${number(total.failed)} failed`), tile("Median latency", millis(total.latency_p50), `95% within ${millis(total.latency_p95)}`),
      tile("Declined", share(total.refused / total.requests)), tile("Tokens", short(total.tokens_in + total.tokens_out), `${short(total.tokens_out)} written`),
      tile("Cost", dollars(total.cost), total.cost == null ? "no price is set" : found.accepted.count ? `${dollars(found.accepted.cost)} for each of ${number(found.accepted.count)} accepted` : "none accepted yet"),
      tile("Training", dollars(found.training.cost), `${number(found.training.runs)} runs, ${found.training.hours.toFixed(1)} hours`),
      tile("Feedback, good / bad", `${number(feedback.up)} / ${number(feedback.down)}`, `corrected: ${number(feedback.edited)}`)),
    h("div", {class: "charts"},
      bars("Requests a day", labels, [{name: "answered", values: of("answered")}, {name: "declined", values: of("refused")}, {name: "failed", values: of("failed")}], short),
      lines("Latency", labels, [{name: "median", values: known("latency_p50")}, {name: "95th percentile", values: known("latency_p95")}], millis)),
    group("More by day", h("div", {class: "charts"},
      lines("Share declined", labels, [{name: "declined", values: dates.map(date => byDay.has(date) ? byDay.get(date).refused / byDay.get(date).requests : null)}], share),
      total.cost == null ? null : bars("Cost a day", labels, [{name: "US dollars", values: of("cost")}], dollars),
      bars("Tokens a day", labels, [{name: "read", values: of("tokens_in")}, {name: "written", values: of("tokens_out")}], short))),
    group("By version", table("Use by model version", [
      ["Version", row => h("code", {}, shortModel(row.group))], ["Requests", row => number(row.requests), "number"], ["Declined", row => share(row.refused / row.requests), "number"],
      ["Failed", row => number(row.failed), "number"], ["Median", row => millis(row.latency_p50), "number"], ["95%", row => millis(row.latency_p95), "number"],
      ["Tokens", row => number(row.tokens_in + row.tokens_out), "number"], ["Cost", row => dollars(row.cost), "number"], ["Good / bad", row => `${row.up} / ${row.down}`, "number"],
    ], found.versions)),
    quality(found.quality, dates, labels),
    drift(found.signals),
    group("By step", table("Time of each step", [
      ["Step", row => words(row.step)], ["Median", row => millis(row.p50), "number"], ["95%", row => millis(row.p95), "number"],
    ], Object.keys(total.steps_p50).map(step => ({step, p50: total.steps_p50[step], p95: total.steps_p95[step]})))),
    used("kind", found.kinds, row => words(row.group)), used("key", found.keys, row => row.group),
    found.comments.length ? group("What people say", h("ul", {class: "comments"}, found.comments.map(one => h("li", {}, one.comment, h("small", {class: "meta"}, ` ${one.thumb === "down" ? "bad" : one.thumb === "up" ? "good" : ""} · ${moment(one.time)}`))))) : null,
    group("Latest requests", table("Latest requests", [
      ["When", row => moment(row.time)], ["Asked", row => row.prompt ?? "text not kept"], ["Kind", row => words(row.prompt_kind)],
      ["Outcome", row => h("span", {class: `badge ${row.outcome}`}, row.outcome === "refused" ? "declined" : row.outcome)], ["Took", row => millis(row.ms), "number"], ["Cost", row => dollars(row.cost), "number"],
    ], found.latest)),
    found.report ? h("p", {}, h("a", {class: "button", href: `/ui/api/${found.persona}/monitoring-report`, target: "_blank"}, "The report as one page")) : null,
  ];
}
