// Write: a chat with the twin, and composers of posts and articles.

import {generate, get, query} from "../lib/api.js";
import {empty, h, toast} from "../lib/dom.js";
import {name} from "../lib/format.js";
import {fields, resolved} from "../lib/schema_form.js";
import {answerCard} from "./answer.js";
import {chat} from "./chat.js";
import {draftEditor} from "./draft.js";
import {draftList, keepDraft} from "./drafts.js";
import {studio} from "./studio.js";
import {threadList} from "./threads.js";

// What the composer has a place of its own for, or sends by itself.
const OWN_PLACE = ["persona", "kind", "topic", "seed", "temperature", "stream", "user", "chain", "given"];
const MODES = {chat: ["Chat"], compose: ["Compose", compose], steps: ["In steps", steps], drafts: ["Drafts"]};

export default async function write(context) {
  const {persona, start, kept, onLeave, rest, go} = context;
  const mode = rest[0] in MODES ? rest[0] : "chat";
  if (mode === "drafts") return [header(mode), await drafts(persona, start, kept, rest[1], go)];
  const key = `${persona}/${mode}`;
  // Drafts stay when another view is looked at.
  const page = mode === "chat" ? await talk(context, key) : kept.get(key) ?? keep(kept, key, MODES[mode][1](persona, start));
  const stop = event => event.key === "Escape" && !document.querySelector("dialog[open]") && page.stop();
  addEventListener("keydown", stop);
  onLeave(() => removeEventListener("keydown", stop));
  return [header(mode), page.element];
}

const header = mode => h("div", {class: "title"}, h("h1", {}, "Write"), h("div", {class: "segments"}, Object.entries(MODES).map(([key, [title]]) =>
  h("a", {href: key === "chat" ? "#/write" : `#/write/${key}`, "aria-current": mode === key ? "true" : null}, title))));

async function drafts(persona, start, kept, id, go) {
  if (!id) return draftList({persona, go});
  const key = `${persona}/drafts/${id}`;  // with what was typed and not saved
  if (kept.has(key)) await kept.get(key).shown();
  else kept.set(key, await draftEditor({persona, titles: start.sources, id, go, forget: () => kept.delete(key)}));
  return kept.get(key).element;
}

const personOf = (persona, start) => start.personas.find(one => one.name === persona);
const nameOf = (persona, start) => personOf(persona, start).full_name;
const showModel = tag => { const place = document.getElementById("model"); if (place) { place.textContent = tag; place.title = tag; } };

/** Ctrl+Enter sends everywhere; plain Enter too where a line break would be odd. */
function sendKeys(box, form, plain) {
  box.addEventListener("keydown", event => {
    const wanted = event.ctrlKey || event.metaKey || (plain && !event.shiftKey && !event.isComposing);
    if (event.key === "Enter" && wanted) { event.preventDefault(); form.requestSubmit(); }
  });
}

/** The talk that is open, as `kept` has it, beside the list of those that the caller keeps. */
async function talk(context, key) {
  const {persona, start, kept, rest, go, reload} = context, [, id] = rest;
  const days = personOf(persona, start).thread_days;
  const opened = thread => chat({persona, fullName: nameOf(persona, start), titles: start.sources, days, thread, sendKeys, model: showModel});
  const place = one => `${key}/${one}`;
  if (!days) return kept.get(key) ?? keep(kept, key, opened());
  if (id && kept.get(key)?.id !== id) {
    try {
      keep(kept, key, kept.get(place(id)) ?? opened(await get(`/v1/threads/${encodeURIComponent(id)}?${query({persona})}`)));
    } catch (error) {
      if (error.status !== 404) throw error;
      history.replaceState(null, "", "#/write");
      toast("That conversation is not kept, or no longer.");
      kept.delete(key);
    }
  }
  const page = kept.get(key) ?? keep(kept, key, opened());
  if (id) setTimeout(page.toLast);  // the frame goes to the top first
  const leave = () => { kept.delete(key); if (location.hash === "#/write") reload(); else go("write"); };
  const list = threadList({
    persona, open: () => page, begin: leave,
    again: () => { kept.delete(key); kept.delete(place(page.id)); reload(); },
    gone: gone => { kept.delete(place(gone)); leave(); },
  });
  page.changed = ({id}) => {
    if (id) kept.set(place(id), page);
    // The address of what is shown, so that it is there again when the page is loaded anew.
    if (id && page.element.isConnected) history.replaceState(null, "", `#/write/chat/${id}`);
    list.refresh();
  };
  list.refresh();
  return {element: h("div", {class: "talk"}, list.element, page.element), stop: page.stop};
}

const keep = (kept, key, page) => { kept.set(key, page); return page; };

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
    const keep = draft => keepDraft({persona, title: body.topic, kind: body.kind, ...draft});
    const card = answerCard({persona, titles: start.sources, prompt: body.topic ?? body.kind, model: showModel, keep, ask: (seed, options) => generate("/v1/write", {...body, seed}, options)});
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

function steps(persona, start) {
  const schema = start.write, defs = schema.$defs ?? {};
  const wishes = fields(schema, {}, defs, {skip: [...OWN_PLACE, "draft", "reply_to", "words"]});
  return studio({persona, titles: start.sources, wishes, model: showModel, sendKeys});
}
