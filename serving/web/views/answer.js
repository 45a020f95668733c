// One answer: its drafts, where it comes from, and what can be done with it.

import {post} from "../lib/api.js";
import {button, h, icon, problem, select, toast} from "../lib/dom.js";
import {number} from "../lib/format.js";
import {countWords} from "../lib/words.js";
import {citations} from "./passage.js";

const seconds = from => `${((performance.now() - from) / 1000).toFixed(1)} s`;
const wordCount = text => number(countWords(text));

/**
 * An answer card. `ask(seed, options)` generates one draft; `drafts` are those that it has already; `keep(draft)`, where it is a text
 * to be kept, does that and gives what went wrong. Gives {element, first}: `first` writes the first draft and resolves when it is
 * done or stopped.
 */
export function answerCard({persona, titles, prompt, ask, model, keep, drafts = []}) {
  let at = Math.max(drafts.length - 1, 0), running = null, comparing = false, editing = false;
  const head = h("div", {class: "answer-head"}), text = h("div", {class: "answer-body"});
  const live = h("div", {class: "hidden", role: "status"}), tools = h("div", {class: "tools"}), below = h("div");
  const element = h("article", {class: "card answer"}, head, text, below, tools, live);

  async function write() {
    const draft = {text: "", model: "", citations: [], outcome: "writing", began: performance.now()};
    running = new AbortController();
    at = drafts.push(draft) - 1;
    comparing = editing = false;
    draw();
    try {
      // Only the first draft may be repeated: another one is asked for to be different.
      const seed = at === 0 ? undefined : Math.floor(Math.random() * 2 ** 31);
      Object.assign(draft, await ask(seed, {signal: running.signal, onText: so => { draft.text = so; drawText(); }}));
      live.textContent = draft.outcome === "refused" ? "Declined." : "The answer is complete.";
    } catch (error) {
      draft.outcome = error.name === "AbortError" ? "stopped" : "failed";
      if (draft.outcome === "failed") draft.error = error;
      live.textContent = draft.outcome === "stopped" ? "Stopped." : error.message;
    }
    draft.took = seconds(draft.began);
    running = null;
    if (draft.model) model(draft.model);
    draw();
  }

  const written = draft => h("div", {class: `text ${draft.outcome}`}, draft.edited ?? draft.text);

  function drawText() {
    if (comparing) {
      text.replaceChildren(h("div", {class: "side-by-side"}, [0, 1].map(side => compared(side))));
      return;
    }
    const draft = drafts[at];
    text.replaceChildren(editing ? editor(draft) : written(draft));
    if (draft.outcome === "writing") text.firstChild.append(h("span", {class: "caret", "aria-hidden": "true"}));
  }

  const shown = [0, 1];
  function compared(side) {
    const choices = drafts.map((draft, n) => [String(n), `Draft ${n + 1} · ${draft.model || draft.outcome}`]);
    const pick = select(side ? "Right draft" : "Left draft", choices, String(shown[side]), value => { shown[side] = Number(value); drawText(); });
    return h("section", {}, pick, written(drafts[shown[side]]),
      button("Keep this one", () => { at = shown[side]; comparing = false; draw(); }));
  }

  function editor(draft) {
    const box = h("textarea", {"aria-label": "Your text", rows: 10, value: draft.edited ?? draft.text});
    const keep = consentBox();
    const save = async () => {
      draft.edited = box.value;
      editing = false;
      draw();
      if (keep.input.checked) await tell({edited: box.value}, true, draft);
    };
    queueMicrotask(() => box.focus());
    return h("div", {class: "editor"}, box, keep.element,
      h("div", {class: "row"}, button("Save", save, {class: "primary"}), button("Cancel", () => { editing = false; draw(); })));
  }

  function consentBox() {
    const input = h("input", {type: "checkbox"});
    return {input, element: h("label", {class: "check"}, input, " Keep question and text, to improve the twin")};
  }

  async function tell(said, consent, draft) {
    const texts = consent ? {prompt, answer: draft.text, edited: draft.edited ?? null} : {};
    try {
      const done = await post("/v1/feedback", {request_id: draft.requestId, persona, model: draft.model, consent, ...texts, ...said});
      toast(done.texts_kept ? "Thank you. Your words and the text are kept." : "Thank you.");
    } catch (error) {
      below.append(problem(error));
    }
  }

  function judge(thumb) {
    const draft = drafts[at], keep = consentBox();
    const comment = h("input", {"aria-label": "Comment", placeholder: thumb === "up" ? "What is good about it? (optional)" : "What is wrong with it? (optional)", maxlength: 2000});
    const submit = async event => {
      event.preventDefault();
      draft.thumb = thumb;
      await tell({thumb, comment: comment.value || null}, keep.input.checked, draft);
      draw();
    };
    below.replaceChildren(...source(draft), h("form", {class: "judge", on: {submit}}, comment, keep.element, h("button", {class: "primary"}, "Send")));
    comment.focus();
  }

  async function copy() {
    const wanted = drafts[at].edited ?? drafts[at].text;
    try {
      await navigator.clipboard.writeText(wanted);
      toast("Copied.");
    } catch {
      getSelection().selectAllChildren(text);
      toast("Selected: press Ctrl+C.");  // only a secure page may use the clipboard
    }
  }

  const talk = draft => [
    draft.understood ? `understood as “${draft.understood}”` : null,
    draft.turnsLeftOut ? `the talk is long: ${number(draft.turnsLeftOut)} of its oldest exchanges were not shown to the model` : null,
    draft.threadKept === false ? "this turn could not be kept in the conversation" : null,
  ].filter(Boolean).join(" · ");

  const source = draft => [
    talk(draft) ? h("p", {class: "meta", role: "note"}, talk(draft)) : null,
    draft.notice && draft.text ? h("p", {class: "warned", role: "note"}, draft.notice) : null,
    draft.error ? problem(draft.error) : null,
    draft.citations.length ? citations(persona, draft.citations, titles) : null,
  ].filter(Boolean);

  function draw() {
    const draft = drafts[at], done = !running;
    const state = {writing: "writing …", stopped: "stopped", failed: "failed", refused: "declined: nothing in the corpus supports an answer"}[draft.outcome];
    head.replaceChildren(
      drafts.length > 1 && !comparing ? h("span", {class: "drafts", role: "group", "aria-label": "Drafts"},
        drafts.map((_, n) => button(String(n + 1), () => { at = n; editing = false; draw(); }, {"aria-pressed": String(n === at), "aria-label": `Draft ${n + 1}`}))) : "",
      h("span", {class: "meta"}, [draft.model, state, draft.text && done ? `${wordCount(draft.edited ?? draft.text)} words` : null, draft.took, draft.edited != null ? "edited" : null].filter(Boolean).join(" · ")));
    drawText();
    below.replaceChildren(...(comparing ? [] : source(draft)));
    const thumbs = ["up", "down"].map(thumb => button(icon(thumb), () => judge(thumb), {
      "aria-label": thumb === "up" ? "Good answer" : "Bad answer", "aria-pressed": String(draft.thumb === thumb), class: "square",
    }));
    tools.replaceChildren(...(!done ? [button("Stop", stop, {class: "primary"})] : comparing
      ? [button("Back to one draft", () => { comparing = false; draw(); })]
      : [
        draft.text ? [button("Copy", copy), button("Edit", () => { editing = true; draw(); })] : [],
        draft.text && keep ? button("Keep as a draft", async () => { const failed = await keep(draft); if (failed) below.append(failed); }) : null,
        button("Regenerate", write),
        drafts.length > 1 ? button("Compare", () => { comparing = true; shown[0] = Math.max(at - 1, 0); shown[1] = at || 1; draw(); }) : null,
        draft.requestId ? thumbs : [],
      ].flat().filter(Boolean)));
  }

  const stop = () => running?.abort();
  if (drafts.length) draw();
  return {element, first: write, stop};
}
