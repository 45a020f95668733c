// Feedback pairs: what people would rather have read, each waiting for a person to accept or reject it.

import {get, post} from "../lib/api.js";
import {decisionForm, who} from "../lib/decision.js";
import {folded, h, problem} from "../lib/dom.js";
import {moment, name, number} from "../lib/format.js";

// How a pair came about, and what its two texts are; of a single thumb there is one.
const SIDES = {
  edited: ["Edited", "What the twin wrote", "What they made of it"],
  thumbs: ["Liked and disliked", "Disliked", "Liked"],
  thumb: [null, "Disliked", "Liked"],
};
const ACCEPT = ["accept", "Accept", "primary"], REJECT = ["reject", "Reject", "danger"];

/** The section; it loads itself, and draws itself anew after each decision. */
export default function pairs(persona) {
  const place = h("section", {"aria-label": "Feedback pairs", class: "pairs"});
  const draw = async () => {
    try {
      place.replaceChildren(...shown(persona, await get(`/ui/api/${persona}/feedback-pairs`), draw).filter(Boolean));
    } catch (error) {
      place.replaceChildren(h("h2", {}, "Feedback pairs"), problem(error));
    }
  };
  draw();
  return place;
}

function shown(persona, found, draw) {
  const waiting = found.pairs.filter(pair => !pair.review), decided = found.pairs.filter(pair => pair.review);
  const lost = Object.entries(found.no_pair).map(([reason, count]) => `${reason}: ${number(count)}`).join("; ");
  return [
    h("h2", {}, `Feedback pairs${found.waiting ? `, ${number(found.waiting)} waiting` : ""}`),
    h("p", {class: "meta"}, found.learns ? "What you accept goes into the next dataset version, apart from the author's own words."
      : "This person's twin does not learn from feedback (learn_from_feedback in the persona's file): what you accept is kept, and not used."),
    waiting.length ? null : h("p", {class: "meta"}, "No pair waits. Edits and thumbs that people give with consent become pairs; a single thumb waits here too."),
    ...waiting.map((pair, at) => at ? folded(pair.prompt, () => card(persona, pair, draw), "card") : card(persona, pair, draw, true)),
    found.waiting > waiting.length ? h("p", {class: "meta"}, `${number(found.waiting - waiting.length)} more come after these.`) : null,
    decided.length ? folded(`Decided on: ${number(found.decided)}`, () => decided.map(pair => card(persona, pair, draw)), "card") : null,
    lost ? h("p", {class: "meta"}, `Reactions that made no pair: ${lost}.`) : null,
  ];
}

function card(persona, pair, draw, first = false) {
  const {review} = pair;
  const send = given => post(`/ui/api/${persona}/feedback-pairs`, {...given, pair_id: pair.pair_id, seen: review?.at ?? null});
  const choices = review ? [review.decision === "accept" ? REJECT : ACCEPT] : [ACCEPT, REJECT];
  const form = () => decisionForm(choices, send, draw);
  const [how, worse, better] = SIDES[pair.origin];
  const side = (title, text) => text === null ? null : h("section", {}, h("p", {class: "meta"}, title), h("div", {class: "text"}, text));
  return h("article", {class: first ? "card waiting pair" : "pair"},
    h("h3", {}, pair.prompt),
    h("p", {class: "meta"}, `${how ?? (pair.chosen === null ? worse : better)} by ${name(pair.given_by ?? "someone not recorded")}, ${moment(pair.time)}, with consent.`,
      pair.origin === "thumb" ? " Nothing to hold it against: only the method KTO learns from a single thumb." : null),
    h("div", {class: pair.origin === "thumb" ? null : "side-by-side"}, side(worse, pair.rejected), side(better, pair.chosen)),
    review ? h("p", {}, h("span", {class: `badge ${review.decision === "accept" ? "approved" : "rejected"}`}, `${review.decision}ed`), ` by ${who(review.reviewer, review.caller)}, ${moment(review.at)}: “${review.reason}”.`) : null,
    review ? folded("Change the decision", form) : form());
}
