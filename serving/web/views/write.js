// Write: a chat with the twin, and a composer of posts and articles.

import {generate} from "../lib/api.js";
import {empty, h} from "../lib/dom.js";
import {name} from "../lib/format.js";
import {fields, resolved} from "../lib/schema_form.js";
import {answerCard} from "./answer.js";

const TURNS = 200;  // exchanges that are sent along: the service says what of them is too much
// What the composer has a place of its own for, or sends by itself.
const OWN_PLACE = ["persona", "kind", "topic", "seed", "temperature", "stream", "user"];

export default function write({persona, start, kept, onLeave, rest}) {
  const mode = rest[0] === "compose" ? "compose" : "chat";
  const key = `${persona}/${mode}`;
  // Drafts stay when another view is looked at.
  if (!kept.has(key)) kept.set(key, mode === "chat" ? chat(persona, start) : compose(persona, start));
  const page = kept.get(key);
  const stop = event => event.key === "Escape" && !document.querySelector("dialog[open]") && page.stop();
  addEventListener("keydown", stop);
  onLeave(() => removeEventListener("keydown", stop));
  return [
    h("div", {class: "title"}, h("h1", {}, "Write"), h("div", {class: "segments"},
      h("a", {href: "#/write", "aria-current": mode === "chat" ? "true" : null}, "Chat"),
      h("a", {href: "#/write/compose", "aria-current": mode === "compose" ? "true" : null}, "Compose"))),
    page.element,
  ];
}

const nameOf = (persona, start) => start.personas.find(one => one.name === persona).full_name;
const showModel = tag => { const place = document.getElementById("model"); if (place) { place.textContent = tag; place.title = tag; } };

/** Ctrl+Enter sends everywhere; plain Enter too where a line break would be odd. */
function sendKeys(box, form, plain) {
  box.addEventListener("keydown", event => {
    const wanted = event.ctrlKey || event.metaKey || (plain && !event.shiftKey && !event.isComposing);
    if (event.key === "Enter" && wanted) { event.preventDefault(); form.requestSubmit(); }
  });
}

function chat(persona, start) {
  const turns = [];
  let running = null;
  const blank = empty(`Ask ${nameOf(persona, start)}'s twin something`,
    "It answers from what was written, and shows the passages. What is not in the corpus it declines.");
  const thread = h("div", {class: "thread"}, blank);
  const box = h("textarea", {
    rows: 2, required: true, maxlength: 20000, "aria-label": "Question or topic", placeholder: "Ask a question", "data-focus": true,
  });
  const go = h("button", {class: "primary"}, "Send");
  const submit = async event => {
    event.preventDefault();
    const question = box.value.trim();
    if (!question || running) return;
    blank.remove();
    box.value = "";
    const turn = {question, answer: ""}, before = turns.slice(-TURNS);
    turns.push(turn);
    const messages = [
      ...before.filter(one => one.answer).flatMap(one => [{role: "user", content: one.question}, {role: "assistant", content: one.answer}]),
      {role: "user", content: question},
    ];
    running = answerCard({persona, titles: start.sources, prompt: question, model: showModel, ask: async (seed, options) => {
      const answer = await generate("/v1/chat/completions", {model: persona, messages, seed}, options);
      turn.answer = answer.text;
      return answer;
    }});
    thread.append(h("p", {class: "question"}, question), running.element);
    go.disabled = true;
    const writing = running.first();
    thread.lastChild.scrollIntoView({block: "nearest"});
    await writing;
    go.disabled = false;
    latest = running;
    running = null;
    thread.lastChild.scrollIntoView({block: "nearest"});
  };
  let latest = null;
  const form = h("form", {class: "composer", on: {submit}}, box, go,
    h("small", {class: "keys"}, "Enter sends · Shift+Enter new line · Esc stops · / comes here"));
  sendKeys(box, form, true);
  return {element: h("section", {class: "chat"}, thread, form), stop: () => (running ?? latest)?.stop()};
}

function compose(persona, start) {
  const schema = start.write, defs = schema.$defs ?? {};
  const cards = [];
  const ask = fields({properties: {kind: schema.properties.kind}}, {}, defs);
  const more = fields(schema, {}, defs, {skip: OWN_PLACE});
  const warmth = fields({properties: {temperature: {...schema.properties.temperature, description: "Low stays near the known, high dares more."}}}, {}, defs);
  const topic = h("textarea", {
    rows: 3, required: schema.required.includes("topic"), minlength: 3, maxlength: resolved(schema.properties.topic, defs).maxLength, "aria-label": "Topic", "data-focus": true,
    placeholder: "What should it be about?",
  });
  const drafts = h("div", {class: "thread"}, empty("Nothing written yet", "Say what it should be about; a draft appears here, with the passages that it leans on."));
  const submit = event => {
    event.preventDefault();
    if (!cards.length) drafts.replaceChildren();
    const body = {persona, topic: topic.value.trim() || undefined, ...ask.read(), ...more.read(), ...warmth.read()};
    const card = answerCard({persona, titles: start.sources, prompt: body.topic ?? body.kind, model: showModel, ask: (seed, options) => generate("/v1/write", {...body, seed}, options)});
    cards.unshift(card);
    drafts.prepend(h("p", {class: "question"}, [name(body.kind), body.topic].filter(Boolean).join(": ")), card.element);
    card.first();
    card.element.scrollIntoView({block: "nearest"});
  };
  const form = h("form", {class: "card compose", on: {submit}}, ask.element,
    h("label", {class: "field"}, h("span", {}, "Topic"), topic), more.element,
    h("details", {}, h("summary", {}, "More"), warmth.element),
    h("div", {class: "row"}, h("button", {class: "primary"}, "Write"), h("small", {class: "keys"}, "Ctrl+Enter writes · Esc stops")));
  sendKeys(topic, form, false);
  return {element: h("section", {class: "split"}, form, drafts), stop: () => cards.forEach(card => card.stop())};
}
