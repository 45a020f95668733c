// A talk with the twin: questions and answers, and the kept thread that their turns are added to.

import {generate, post} from "../lib/api.js";
import {empty, h, toast} from "../lib/dom.js";
import {answerCard} from "./answer.js";

// Of the talk so far, what is sent along at most: the service says what of it is too much for the model.
const TURNS = 200, CHARACTERS = 300_000;
// What a thread that takes no more turns answers with: the talk goes on in a new one.
const OVER = {ThreadFull: "The conversation is full, and goes on in a new one.", Unknown: "The conversation was deleted elsewhere, and goes on in a new one."};

/**
 * The page of a talk: {element, stop, toLast, id, seen, changed}. `thread` is a kept one that is gone on with, `days` how long threads
 * are kept, 0 for not at all. `id` is that of the thread, null before the first question; `seen` how many of its turns the page
 * knows. `changed(page)` is called when the thread has begun, or has a new turn.
 */
export function chat({persona, fullName, titles, days, thread, sendKeys, model}) {
  const turns = [];
  const page = {id: thread?.id ?? null, seen: thread?.turns ?? 0, changed: () => {}, stop: () => (running ?? latest)?.stop()};
  let running = null, latest = null;
  const blank = empty(`Ask ${fullName}'s twin something`,
    "It answers from what was written, and shows the passages. What is not in the corpus it declines.",
    h("p", {class: "meta"}, days ? `Conversations are kept here for ${days} days after their last turn, for you alone.` : "Nothing of a conversation is kept here once the page is left."));
  const column = h("div", {class: "thread"}, blank);
  const box = h("textarea", {
    rows: 2, required: true, maxlength: 20000, "aria-label": "Question or topic", placeholder: "Ask a question", "data-focus": true,
  });
  const go = h("button", {class: "primary"}, "Send");

  /** A question with its card; `drafts` are answers that it has already. */
  function add(question, drafts = []) {
    const turn = {question, answer: drafts.at(-1)?.text ?? ""}, before = newest(turns);
    turns.push(turn);
    const messages = [
      ...before.flatMap(one => [{role: "user", content: one.question}, {role: "assistant", content: one.answer}]),
      {role: "user", content: question},
    ];
    const card = answerCard({persona, titles, prompt: question, model, drafts, ask: async (seed, options) => {
      const answer = await kept(thread => generate("/v1/chat/completions", {model: persona, messages, seed, thread}, options));
      turn.answer = answer.text;
      return answer;
    }});
    blank.remove();
    column.append(h("p", {class: "question"}, question), card.element);
    return card;
  }

  /** What `ask` gives of the thread that the turn is to be kept in; of a new one where that takes no more. */
  async function kept(ask) {
    try {
      await begin();
      return await ask(page.id ?? undefined);
    } catch (error) {
      if (!page.id || !(error.type in OVER)) throw error;
      page.id = null;
      toast(OVER[error.type]);
      await begin();
      return await ask(page.id ?? undefined);
    } finally {
      page.seen += 1;
      page.changed(page);
    }
  }

  async function begin() {
    if (!days || page.id) return;
    try {
      page.id = (await post("/v1/threads", {persona})).id;
      page.seen = 0;
    } catch (error) {
      toast(`This conversation is not kept. ${error.message}`);  // it can be had all the same
      return;
    }
    page.changed(page);
  }

  const submit = async event => {
    event.preventDefault();
    const question = box.value.trim();
    if (!question || running) return;
    box.value = "";
    running = add(question);
    go.disabled = true;
    const writing = running.first();
    page.toLast();
    await writing;
    go.disabled = false;
    latest = running;
    running = null;
    page.toLast();
  };
  const form = h("form", {class: "composer", on: {submit}}, box, go,
    h("small", {class: "keys"}, "Enter sends · Shift+Enter new line · Esc stops · / comes here"));
  sendKeys(box, form, true);
  for (const [question, drafts] of asked(thread?.exchanges ?? [])) latest = add(question, drafts);
  page.toLast = () => column.lastChild.scrollIntoView({block: "nearest"});
  page.element = h("section", {class: "chat"}, column, form);
  return page;
}

/** The answered turns that are sent along, oldest first. */
function newest(turns) {
  let left = CHARACTERS;
  const answered = turns.filter(one => one.answer).slice(-TURNS);
  return answered.reverse().filter(one => (left -= one.question.length + one.answer.length) >= 0).reverse();
}

/** Questions with the drafts of their answers: what was asked again at once is another draft. */
function asked(exchanges) {
  const questions = [];
  for (const turn of exchanges) {
    const question = turn.prompt ?? "[erased]";
    if (questions.at(-1)?.[0] !== question) questions.push([question, []]);
    questions.at(-1)[1].push({
      text: turn.answer ?? "[erased]", model: turn.model, citations: turn.citations ?? [], outcome: turn.outcome,
      understood: turn.understood_as, requestId: turn.request_id,
    });
  }
  return questions;
}
