// Review: the candidate that waits, its evaluation, and a person's decision.

import {get, post, query} from "../lib/api.js";
import {decisionForm, who} from "../lib/decision.js";
import {dialog, empty, facts, h, select, button} from "../lib/dom.js";
import {intervals, shares} from "../lib/charts.js";
import {capital, figure, moment, number, share, signed, words} from "../lib/format.js";
import {table} from "../lib/table.js";
import blind from "./blind.js";
import pairs from "./pairs.js";

export default async function review(context) {
  const {persona, rest, go} = context;
  const found = await get(`/ui/api/${persona}/review?${query({model: rest[0]})}`);
  const title = h("h1", {}, "Review");
  if (!found.events.length) return [title, empty("Nothing to review yet", "A trained model is evaluated by itself, and waits here for your decision.", h("a", {class: "button", href: "#/experiments"}, "See the models")), pairs(persona)];
  const tags = Object.keys(found.states).reverse();
  const pick = select("Evaluation of", tags.map(tag => [tag, `${tag} (${words(found.states[tag])})`]), found.shown, tag => go("review", tag));
  return [
    title, waiting(found, context), inProduction(found, context),
    h("div", {class: "title"}, h("h2", {}, "Evaluation"), found.shown ? pick : null),
    found.evaluation ? evaluation(persona, found) : empty("No report", "This version has no stored evaluation report."),
    found.evaluation ? blind(context, found.shown) : null, pairs(persona), h("h2", {}, "History"), history(found.events),
  ].flat().filter(Boolean);
}

function waiting(found, context) {
  const {approved, canary} = found;
  if (approved) return h("section", {class: found.approval_problem ? "card bad" : "card good"},
    h("h2", {}, found.approval_problem ? "Approved, but not to be deployed" : canary ? "Approved, waits for the canary's end" : "Approved, being deployed"),
    h("p", {}, h("code", {}, approved.model), ` was approved by ${who(approved.claimed, approved.actor)}: “${approved.reason}”. `,
      found.approval_problem ?? (canary ? "" : "Dagster deploys it, within a minute while it runs.")));
  if (!found.waiting) return h("section", {class: "card"}, h("h2", {}, "Nothing waits for you"), h("p", {class: "meta"}, "The next candidate that passes its evaluation will."));
  const {model, at, reason} = found.waiting;
  return h("section", {class: "card waiting"}, h("h2", {}, "Waiting for you"),
    h("p", {}, h("code", {}, model)), noise(found, model), h("p", {class: "meta"}, `Evaluated ${moment(at)}: ${reason}.`),
    h("p", {class: "meta"}, found.expired ? `Its evaluation expired ${moment(found.waits_until)}: evaluate it again before you approve.` : `Can be approved until ${moment(found.waits_until)}.`),
    deciding(context, found.waiting, [["approve", "Approve", "primary"], ["reject", "Reject", "danger"]]));
}

/** What a person must know of a version whose size only proves that the platform runs. */
const noise = (found, model) => found.plumbing.includes(model)
  ? h("p", {class: "warned", role: "note"}, "A plumbing test: it proves that the platform runs, and what it writes is noise.") : null;

/** A decision about the version as the event says it is. */
const deciding = ({persona, reload}, event, choices, done = () => {}) => decisionForm(choices,
  given => post(`/ui/api/${persona}/decisions`, {...given, model: event.model, about: event.number}), () => { done(); return reload(); });

function inProduction(found, context) {
  if (!found.production) return h("section", {class: "card"}, h("h2", {}, "Nothing in production"), h("p", {class: "meta"}, "Approve a candidate, and the twin answers with it."));
  const {canary, released} = found;
  const after = found.predecessor ? `Then ${found.predecessor} answers again.` : "Then nothing is in production, and the twin answers nothing.";
  const production = h("section", {class: "card"}, h("header", {}, h("h2", {}, "In production"), canary ? null : rollBack(context, released, after)),
    h("p", {}, h("code", {}, found.production)), noise(found, found.production), h("p", {class: "meta"}, `Since ${moment(released.at)}: ${released.reason}.`),
    found.watch && !canary ? h("p", {class: "meta"}, `Watched, ${found.watch}.`) : null);
  if (!canary) return production;
  return [production, h("section", {class: "card waiting"}, h("header", {}, h("h2", {}, `Canary, for ${share(canary.share)} of the requests`), rollBack(context, canary, `Then ${found.production} answers all requests.`)),
    h("p", {}, h("code", {}, canary.model)), h("p", {class: "meta"}, `Since ${moment(canary.at)}; ${found.watch}.`))];
}

/** Opens the dialog that takes back what the event released. */
function rollBack(context, event, after) {
  return button("Roll back …", () => {
    const box = dialog("Roll back", h("p", {}, "Take ", h("code", {}, event.model), ` back? ${after}`),
      deciding(context, event, [["roll_back", "Roll back", "danger"]], () => box.close()));
  });
}

function evaluation(persona, found) {
  const {evaluation: report, shown} = found, roles = Object.keys(report.systems);
  const frame = h("details", {class: "card", on: {toggle: event => {
    if (event.target.open && !frame.querySelector("iframe")) frame.append(h("iframe", {sandbox: true, title: `Evaluation report of ${shown}`, src: `/ui/api/${persona}/report?${query({model: shown})}`}));
  }}}, h("summary", {}, "The whole report"));
  return [
    advice(report.advice),
    h("section", {class: "card"}, voices(report, roles),
      facts([
        ["Gain over the base model", report.gain == null ? report.gain_note ?? "too little text" : `${signed(report.gain)} (${signed(report.gain_low)} to ${signed(report.gain_high)})`],
        ["Copied from the training text", share(report.systems.candidate?.copied_share)], ["Right passage found", share(report.hit_rate)],
        ["Declines what it can't know", share(report.refusal_rate)], ["Declines what it could answer", share(report.false_refusal_rate)], ["Texts written", report.prompts],
        ["Learnt from", Object.keys(report.learnt_from).some(one => one !== "public") ? Object.entries(report.learnt_from).map(([who, rows]) => `${number(rows)} rows ${who === "public" ? "that are public" : who === "connections" ? "for connections only" : "that are private"}`).join(", ") : null],
      ])),
    roles.length > 1 ? sideBySide(report.systems, roles) : null, frame,
  ].filter(Boolean);
}

/** How near each is to the author: by the figure, whose ends are other people and the author, or in reports of before by margins. */
function voices(report, roles) {
  const rows = [["the author, held out", report.upper_bound, "edge"], ...roles.map(role => [role, report.systems[role].voice, role === "candidate" ? "ours" : "theirs"])];
  if (rows.every(([, voice]) => voice.figure?.value == null && voice.margin == null)) {
    const why = [...new Set(rows.map(([, voice]) => voice.figure?.note ?? voice.note ?? "too little text"))];
    return [h("h3", {}, "Voice: no figure"), why.map(note => h("p", {class: "warned", role: "note"}, `${capital(note)}.`))];
  }
  if (rows.every(([, voice]) => voice.figure?.value == null)) return intervals("Voice margin: nearer to the author is further right, with 95% intervals",
    [...rows, ["other authors", report.lower_bound, "edge"]].map(([name, voice, kind]) => ({name, value: voice.margin, low: voice.margin_low, high: voice.margin_high, kind})), signed);
  const notes = rows.flatMap(([name, voice]) => voice.figure?.value == null ? [`${name}: ${voice.figure?.note ?? "not measured"}.`]
    : voice.figure.typical ? [`${name}: closer to the author's average than the author's own texts, which is no praise.`] : []);
  return [shares("Voice, with 95% intervals", rows.map(([name, {figure}, kind]) => ({name, value: figure?.value, low: figure?.low, high: figure?.high, kind})),
    ["0: as other people", "1: as the author"], figure), notes.map(note => h("p", {class: "meta"}, note)),
  report.voice_caution ? h("p", {class: "warned", role: "note"}, `${capital(report.voice_caution)}.`) : null];
}

/** Whether the training was worth it, and what would help. */
const advice = said => said ? h("section", {class: "card"}, h("h3", {}, "Was fine-tuning worth it?"), h("p", {}, said.verdict),
  said.helps.length ? h("details", {}, h("summary", {}, "What would help"), h("ul", {}, said.helps.map(one => h("li", {}, one)))) : null) : null;

/** Two model versions on the same prompt. */
function sideBySide(systems, roles) {
  const chosen = [roles[0], roles.includes("production") ? "production" : roles[1]], place = h("div", {class: "side-by-side"});
  const prompts = systems[roles[0]].samples.map(one => one.prompt);
  if (!prompts.length) return null;
  let prompt = prompts[0];
  const draw = () => place.replaceChildren(...[0, 1].map(side => {
    const system = systems[chosen[side]], sample = system.samples.find(one => one.prompt === prompt);
    return h("section", {}, select(side ? "Right model" : "Left model", roles.map(role => [role, role]), chosen[side], role => { chosen[side] = role; draw(); }),
      h("p", {class: "meta"}, system.model), h("div", {class: "text"}, sample?.text ?? "wrote nothing for this prompt"));
  }));
  draw();
  return h("section", {class: "card"}, h("header", {}, h("h3", {}, "Side by side"), select("Prompt", prompts.map(one => [one, one]), prompt, one => { prompt = one; draw(); })), place);
}

const history = events => table("Release ledger", [
  ["When", event => moment(event.at)], ["What", event => h("span", {class: `badge ${event.kind}`}, words(event.kind))],
  ["Version", event => h("code", {}, event.model)], ["Who", event => who(event.claimed, event.actor)], ["Why", event => event.reason],
], events);
