// A text in steps: a column of cards, one a step. What a step made can be changed, and the next one goes on from that.

import {chain} from "../lib/api.js";
import {button, empty, h, problem, select, toast} from "../lib/dom.js";
import {dollars, millis, number} from "../lib/format.js";
import {countWords} from "../lib/words.js";
import {keepDraft} from "./drafts.js";
import {offeredIdeas} from "./ideas.js";
import {citations} from "./passage.js";

const KINDS = [["article", "Article"], ["linkedin_post", "LinkedIn post"], ["x_post", "X post"]];
const FOUND = {
  unsupported: "Nothing says so", copied: "Copied", reads_badly: "Reads badly", other_voice: "Another voice", length: "Length",
  link: "Unknown address", repeated: "Said before", off_topic: "Off its subject",
};
const KEPT = {as_it_was: "left as it was: nothing was better", shortened: "shortened", rewritten: "written again"};

export function studio({persona, titles, wishes, model, sendKeys}) {
  const text = {ideas: [], idea: "", outline: null, sections: [], findings: [], notes: {}};
  let running = null;
  const kind = select("Kind", KINDS, "article");
  const topic = h("textarea", {rows: 3, required: true, minlength: 3, maxlength: 500, "aria-label": "Topic", "data-focus": true, placeholder: "What should it be about?"});
  const words = h("input", {type: "number", min: 10, max: 2000, "aria-label": "Words", placeholder: "600"});
  const column = h("div", {class: "thread"}), offers = h("div", {class: "thread"});
  const live = h("div", {class: "hidden", role: "status"});

  const submit = event => { event.preventDefault(); run("ideas", {}); };
  const form = h("form", {class: "card compose", on: {submit}},
    h("label", {class: "field"}, h("span", {}, "Kind"), kind), h("label", {class: "field"}, h("span", {}, "Topic"), topic),
    h("label", {class: "field"}, h("span", {}, "Words"), words),
    h("details", {}, h("summary", {}, "More"), wishes.element),
    h("div", {class: "row"}, h("button", {class: "primary"}, "Think of ideas"), button("All steps at once", () => form.reportValidity() && run("revise", {}))),
    button("What could I write about?", offer),
    h("small", {class: "keys"}, "Ctrl+Enter thinks of ideas · Esc stops"));
  sendKeys(topic, form, false);

  /** Ideas from the persona's own writing; one that is taken is the topic, a link's page a source. */
  async function offer() {
    offers.replaceChildren(h("p", {class: "meta", role: "status"}, "Looking through the writing …"));
    const take = idea => { topic.value = idea.title; offers.replaceChildren(); run("ideas", {}); };
    offers.replaceChildren(await offeredIdeas({persona, titles, kind: kind.value, links: wishes.read().links ?? [], take, close: () => offers.replaceChildren()}));
    offers.scrollIntoView({block: "nearest"});
  }

  const body = given => ({
    persona, kind: kind.value, topic: topic.value.trim(), words: words.value ? Number(words.value) : undefined, ...wishes.read(), given,
  });

  /** Do the steps up to `until`, from what is `given`. What was there before stays until something new comes. */
  async function run(until, given) {
    if (running || !form.reportValidity()) return;
    running = new AbortController();
    text.error = null;
    draw();
    try {
      const last = await chain(body({...given, until}), {signal: running.signal, onEvent: told});
      // A check of what a person left there is no text of the twin's.
      if (last.text && (until === "revise" || !given.sections?.every(Boolean))) text.written = last;
      model(last.model);
      text.notice = last.notice;
      live.textContent = "Done.";
    } catch (error) {
      if (error.name !== "AbortError") text.error = error;
      live.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    }
    running = null;
    text.step = null;
    draw();
  }

  function told(event) {
    if (event.event === "begun") {
      text.step = event.step;
      if (event.step === "draft" && event.section == null) { text.findings = []; text.revisions = []; text.written = null; }
      if (event.step === "draft" && event.section != null) text.sections[event.section] = {heading: text.outline.sections[event.section].heading, text: "", citations: []};
      draw();
    } else if (event.event === "delta") {
      const section = text.sections[event.section], box = column.querySelector(`[data-section="${event.section}"]`);
      section.text += event.delta;
      if (box) { box.value = section.text; grow(box); }
    } else if (event.event === "done") {
      text.notes[event.step] = note(event);
      if (event.ideas) { text.ideas = event.ideas; text.idea = event.ideas[0].title; text.outline = null; text.sections = []; }
      if (event.outline) { text.outline = event.outline; text.sections = []; }
      if (event.sections) text.sections = event.sections.map(section => ({...section}));
      if (event.findings) text.findings = event.findings;
      if (event.left_out) text.leftOut = event.left_out;
      if (event.revisions) text.revisions = event.revisions;
      draw();
    }
  }

  const note = event => [
    event.by === "rules" && event.why ? `made by rules: ${event.why}` : event.by === "rules" ? "made by rules" : null,
    millis(event.ms), event.tokens_out ? `${number(event.tokens_out)} tokens` : null, event.cost ? dollars(event.cost) : null,
  ].filter(Boolean).join(" · ");

  function draw() {
    const started = text.ideas.length || text.outline || running;
    column.replaceChildren(...(started ? [ideasCard(), outlineCard(), draftCard()].filter(Boolean)
      : [empty("A text in steps", "First ideas for the topic, then an outline, a draft, a check, and what the check found mended. Every step can be changed before the next.")]),
    ...[text.error ? problem(text.error) : null, text.notice && text.sections.length ? h("p", {class: "warned", role: "note"}, text.notice) : null,
      running ? h("div", {class: "row"}, h("span", {class: "meta"}, `${text.step ?? "beginning"} …`), button("Stop", stop, {class: "primary"})) : null].filter(Boolean));
    column.querySelectorAll("textarea").forEach(grow);
  }

  const head = (title, step) => h("header", {}, h("h2", {}, title), text.notes[step] ? h("span", {class: "meta"}, text.notes[step]) : null);
  const act = (label, click, attributes = {}) => button(label, click, {disabled: Boolean(running), ...attributes});

  function ideasCard() {
    if (!text.ideas.length) return null;
    const own = h("input", {"aria-label": "Your own idea", placeholder: "Or an idea of your own", maxlength: 500, value: text.ideas.some(one => one.title === text.idea) ? "" : text.idea});
    own.addEventListener("input", () => { text.idea = own.value.trim() || text.ideas[0].title; });
    return h("section", {class: "card step"}, head("Ideas", "ideas"),
      h("fieldset", {class: "ideas"}, h("legend", {class: "hidden"}, "Ideas"), text.ideas.map((idea, at) => h("label", {class: "idea"},
        h("input", {type: "radio", name: "idea", checked: idea.title === text.idea, on: {change: () => { text.idea = idea.title; own.value = ""; }}}),
        h("span", {}, h("strong", {}, idea.title), idea.why ? h("span", {class: "meta"}, idea.why) : null,
          idea.passages?.length ? citations(persona, idea.passages, titles) : null)))),
      own,
      h("div", {class: "row"}, act("Outline it", () => run("outline", {idea: text.idea}), {class: "primary"}), act("Other ideas", () => run("ideas", {}))));
  }

  function outlineCard() {
    const outline = text.outline;
    if (!outline) return null;
    const field = (value, label, most, set) => h("input", {"aria-label": label, value, maxlength: most, on: {input: event => set(event.target.value)}});
    const change = edit => { edit(); text.sections = []; text.findings = []; draw(); };
    return h("section", {class: "card step"}, head("Outline", "outline"),
      field(outline.title, "Title", 500, value => { outline.title = value; }),
      h("ol", {class: "outline"}, outline.sections.map((section, at) => h("li", {},
        field(section.heading, `Heading ${at + 1}`, 200, value => { section.heading = value; }),
        h("textarea", {rows: 1, "aria-label": `What section ${at + 1} says`, value: section.about ?? "", maxlength: 1000, placeholder: "What it says", on: {input: event => { section.about = event.target.value; grow(event.target); }}}),
        h("div", {class: "tools"},
          act("Up", () => change(() => outline.sections.splice(at - 1, 0, ...outline.sections.splice(at, 1))), {disabled: Boolean(running) || at === 0, "aria-label": `Move section ${at + 1} up`}),
          act("Remove", () => change(() => outline.sections.splice(at, 1)), {disabled: Boolean(running) || outline.sections.length === 1, "aria-label": `Remove section ${at + 1}`}))))),
      h("div", {class: "row"}, act("Write it", () => run("revise", {outline: cleaned(outline)}), {class: "primary"}),
        act("Add a section", () => change(() => outline.sections.push({heading: "Another section", about: ""})), {disabled: Boolean(running) || outline.sections.length >= 8})));
  }

  function draftCard() {
    if (!text.sections.length) return null;
    const several = text.sections.length > 1;
    const all = () => text.sections.map(section => section?.text ?? "");
    return h("section", {class: "card step"}, head("Text", "draft"),
      several ? h("h3", {}, text.outline.title) : null,
      text.sections.map((section, at) => section && h("div", {class: "section"},
        several ? h("h3", {}, section.heading) : null,
        h("textarea", {class: "prose", "data-section": at, "aria-label": several ? `Section ${at + 1}` : "Text", value: section.text, maxlength: 20000, readonly: Boolean(running), on: {input: event => { section.text = event.target.value; grow(event.target); }}}),
        section.citations?.length ? citations(persona, section.citations, titles) : null,
        findings(at),
        h("div", {class: "tools"}, act("Write again", () => run("check", {outline: cleaned(text.outline), sections: all().map((one, n) => n === at ? null : one)}),
          several ? {"aria-label": `Write section ${at + 1} again`} : {})))),
      h("p", {class: "meta"}, [`${number(countWords(all().join(" ")))} words`, text.notes.check && `checked in ${text.notes.check}`,
        Object.keys(text.leftOut ?? {}).length ? `not looked at: ${Object.entries(text.leftOut).map(([part, why]) => `${part} (${why})`).join("; ")}` : null].filter(Boolean).join(" · ")),
      h("div", {class: "row"}, act("Copy", copy, {class: "primary"}), act("Keep as a draft", keep), act("Check again", () => run("check", {outline: cleaned(text.outline), sections: all()})),
        text.findings.length ? act("Mend what was found", () => run("revise", {outline: cleaned(text.outline), sections: all()})) : null));
  }

  function findings(at) {
    const found = text.findings.filter(one => one.section === at);
    const mended = text.revisions?.find(one => one.section === at);
    if (!found.length && !mended) return null;
    return h("ul", {class: "reasons"},
      mended ? h("li", {}, `Revision: ${KEPT[mended.kept]}; ${number(mended.findings_before)} findings before, ${number(mended.findings_after)} after`) : null,
      found.map(one => h("li", {}, h("span", {class: "badge refused"}, FOUND[one.kind] ?? one.kind), " ", one.detail, one.text ? h("span", {class: "meta"}, ` “${one.text}”`) : null)));
  }

  /** The text as it stands, put together as the service does. */
  const whole = () => text.sections.length === 1 ? text.sections[0].text
    : [`# ${text.outline.title}`, ...text.sections.map(section => `## ${section.heading}\n\n${section.text}`)].join("\n\n");

  async function keep() {
    const {text: written = whole(), request_id: requestId, model, citations} = text.written ?? {};
    const failed = await keepDraft({persona, title: text.outline.title, kind: kind.value, text: written, edited: whole(), requestId, model, citations});
    if (failed) column.append(failed);
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(whole());
      toast("Copied.");
    } catch {
      toast("The browser lets only a secure page copy: select the text and press Ctrl+C.");
    }
  }

  const cleaned = outline => ({title: outline.title, sections: outline.sections.map(({heading, about}) => ({heading, about: about ?? ""}))});
  const grow = box => { box.style.height = "auto"; box.style.height = `${box.scrollHeight + 2}px`; };
  const stop = () => running?.abort();
  draw();
  return {element: h("section", {class: "split"}, form, h("div", {class: "thread"}, offers, column, live)), stop};
}
