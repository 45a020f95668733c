// A person's decision: their name, a reason, and a button for each choice.

import {h, problem, toast} from "./dom.js";

/** The name that somebody gave, and what they were authenticated as; the platform itself gives no name. */
export const who = (claimed, caller) => claimed && caller ? `${claimed} (${caller})` : claimed ?? caller;

/** `send` gets {decision, reviewer, reason}; `done` is called once it is recorded. Choices are [value, label, class]. */
export function decisionForm(choices, send, done) {
  const who = h("input", {required: true, maxlength: 100, autocomplete: "name", value: localStorage.getItem("reviewer") ?? ""});
  const why = h("textarea", {required: true, rows: 2, maxlength: 2000});
  const said = h("div");
  const submit = async submitted => {
    submitted.preventDefault();
    try {
      await send({decision: submitted.submitter?.value ?? choices[0][0], reviewer: who.value, reason: why.value});
      localStorage.setItem("reviewer", who.value);
      toast("Recorded.");
      await done();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  };
  return h("form", {class: "decision", on: {submit}},
    h("label", {class: "field"}, h("span", {}, "Your name"), who), h("label", {class: "field"}, h("span", {}, "Reason"), why),
    h("div", {class: "row"}, choices.map(([value, label, kind]) => h("button", {value, class: kind}, label))), said);
}
