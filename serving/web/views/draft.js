// One draft: its text, the passages that it leans on, and its versions. What another tab saved meanwhile is shown beside what stands here.

import {get, post, put, query, remove} from "../lib/api.js";
import {button, dialog, h, problem, saveFile, select, toast} from "../lib/dom.js";
import {moment, number} from "../lib/format.js";
import {countWords} from "../lib/words.js";
import {difference} from "./difference.js";
import {BY, STATUSES} from "./drafts.js";
import {citations} from "./passage.js";
import {postsCard, publishDialog} from "./publish.js";

const MOST = 60000, MOST_FEEDBACK = 20000;

/** The editor of a draft. Gives {element}: it keeps what was typed and not saved, also while another view is looked at. */
export async function draftEditor({persona, titles, id, go, forget}) {
  const where = `/v1/drafts/${encodeURIComponent(id)}`;
  let draft = await get(`${where}?${query({persona})}`);
  let saving = false, theirs = null, error = null, sent = null;
  const title = h("input", {name: "title", "aria-label": "Title", maxlength: 200, value: draft.title, on: {input: drawState}});
  const status = select("Status", STATUSES, draft.status, () => drawState());
  status.name = "status";
  const box = h("textarea", {class: "prose", "aria-label": "Text", "data-focus": true, maxlength: MOST, value: last().text, placeholder: "Write here", on: {input: () => { grow(); drawState(); }}});
  const save = button("Save", () => keep(), {class: "primary"});
  const state = h("p", {class: "meta", role: "status"}), notes = h("div", {class: "cards"}), posts = h("div", {}), aside = h("aside", {class: "cards"});

  function last() { return draft.versions.at(-1); }
  const unsaved = () => box.value !== last().text || title.value !== draft.title || status.value !== draft.status;
  const grow = () => { box.style.height = "auto"; box.style.height = `${box.scrollHeight + 2}px`; };
  const warn = event => event.preventDefault();

  function drawState() {
    const left = unsaved();
    state.textContent = [`${number(countWords(box.value))} words`, `${number(Array.from(box.value).length)} characters`, saving ? "saving …" : left ? "not saved yet" : `saved ${moment(draft.changed_at)}`].join(" · ");
    save.disabled = saving || !left;
    (left ? addEventListener : removeEventListener)("beforeunload", warn);
  }

  /** Save what stands here on top of the text that was seen last. */
  async function keep() {
    if (saving || !unsaved()) return;
    saving = true;
    error = theirs = null;
    drawState();
    try {  // a title or a status that was left alone here may have been changed elsewhere
      const changed = field => field.value === draft[field.name] ? undefined : field.value;
      draft = await put(where, {persona, version: draft.version, text: box.value, title: changed(title), status: changed(status)});
      title.value = draft.title;
      status.value = draft.status;
    } catch (problem) {
      error = problem;
      if (problem.status === 409) await compare();
    }
    saving = false;
    draw();
  }

  async function compare() {
    try {
      theirs = await get(`${where}?${query({persona})}`);
    } catch (problem) {
      error = problem;
    }
  }

  /** The saved draft takes the place of the one that was known; what was changed here stays. */
  function onTop() {
    for (const field of [title, status]) if (field.value === draft[field.name]) field.value = theirs[field.name];
    draft = theirs;
    theirs = error = null;
    keep();
  }

  function takeTheirs() {
    draft = theirs;
    theirs = error = null;
    title.value = draft.title;
    status.value = draft.status;
    box.value = last().text;
    draw();
  }

  async function asNew(then) {
    try {
      const made = await post("/v1/drafts", {persona, title: `${title.value} (mine)`.slice(-200), kind: draft.kind, text: box.value, by: "person"});
      then(made);
    } catch (problem) {
      error = problem;
      draw();
    }
  }

  const apart = () => asNew(made => { takeTheirs(); toast("Your text is a draft of its own now."); go("write", "drafts", made.id); });
  const goOn = () => asNew(made => { box.value = last().text; error = null; draw(); go("write", "drafts", made.id); });

  function conflict() {
    return h("section", {class: "card waiting", role: "alert"}, h("h2", {}, "Saved elsewhere meanwhile"),
      h("p", {}, `Version ${theirs.versions.at(-1).number} by ${BY[theirs.versions.at(-1).by]}, ${moment(theirs.changed_at)}. Nothing is lost: your text stands in the box, and this is what changes from the saved one to yours.`),
      difference(theirs.versions.at(-1).text, box.value),
      h("div", {class: "row"}, button("Save mine on top", onTop, {class: "primary"}), button("Keep both as two drafts", apart), button("Take the saved text", takeTheirs)),
      h("p", {class: "meta"}, "On top: the saved text stays as a version. Take the saved text: what you typed here goes."));
  }

  /** What a person made of the twin's last text, which can be learnt from where they say so. */
  function edits() {
    const written = draft.versions.findLast(version => version.by === "twin" && version.request_id);
    if (!written || sent === last().version || written.text === last().text || !last().text.trim()) return null;
    const tick = h("input", {type: "checkbox", on: {change: () => { send.disabled = !tick.checked; }}});
    const send = button("Send my edits", tell, {disabled: true});
    const long = last().text.length > MOST_FEEDBACK;
    async function tell() {
      try {
        const done = await post("/v1/feedback", {request_id: written.request_id, persona, model: written.model, consent: true, prompt: draft.title, answer: written.text.slice(0, MOST_FEEDBACK), edited: last().text});
        sent = last().version;
        toast(done.texts_kept ? "Thank you. Your words and the text are kept." : "Thank you. This persona keeps no texts.");
        draw();
      } catch (error) {
        card.append(problem(error));
      }
    }
    const card = h("details", {class: "card"}, h("summary", {}, "Your edits"),
      h("p", {class: "meta"}, `From version ${written.number}, which the twin wrote, to the saved text.`), difference(written.text, last().text),
      long ? h("p", {class: "meta"}, `Too long to be sent: ${number(MOST_FEEDBACK)} characters can be.`)
        : [h("label", {class: "check"}, tick, " Keep question and text, to improve the twin"), h("div", {class: "row"}, send)]);
    return card;
  }

  function open(version) {
    const before = draft.versions[draft.versions.indexOf(version) - 1];
    const choices = [before && ["before", `Changes from version ${before.number}`], ["now", "Changes to what stands in the box"], ["text", "Its text"]].filter(Boolean);
    const shown = h("div", {});
    const show = what => shown.replaceChildren(what === "before" ? difference(before.text, version.text)
      : what === "now" ? difference(version.text, box.value) : h("div", {class: "text"}, version.text));
    const back = () => { box.value = version.text; place.close(); draw(); box.focus(); };
    const place = dialog(`Version ${version.number}`, h("p", {class: "meta"}, `by ${BY[version.by]} · ${moment(version.at)}${version.model ? ` · ${version.model}` : ""}`),
      h("div", {class: "row"}, select("Show", choices, choices[0][0], show), button("Put this text in the box", back)), shown);
    show(choices[0][0]);
  }

  function drawAside() {
    const sourced = draft.versions.findLast(version => version.citations.length);
    aside.replaceChildren(...[
      posts,
      sourced ? h("section", {class: "card"}, h("h2", {}, "Sources"), h("p", {class: "meta"}, `Of version ${sourced.number}, which the twin wrote.`), citations(persona, sourced.citations, titles)) : null,
      h("section", {class: "card"}, h("h2", {}, "Versions"), h("ol", {class: "versions"}, draft.versions.toReversed().map(version => h("li", {},
        button([h("b", {}, `${version.number}`), h("span", {}, `by ${BY[version.by]}`), h("span", {class: "meta"}, `${moment(version.at)} · ${number(countWords(version.text))} words`)], () => open(version), {class: "quiet", "aria-label": `Version ${version.number} by ${BY[version.by]}`}))))),
    ].filter(Boolean));
  }

  function draw() {
    drawState();
    drawAside();
    notes.replaceChildren(...[theirs ? conflict() : error ? problem(error) : null,
      error?.status === 507 ? button("Go on in a new draft", goOn) : null, edits()].filter(Boolean));
    grow();
  }

  /** The text that is saved; what is not saved yet is nobody's to publish. */
  async function publish() {
    await keep();
    if (unsaved()) return;
    try {
      await publishDialog({persona, draft, done: published});
    } catch (problem) {
      error = problem;
      draw();
    }
  }

  async function drawPosts() {
    const card = await postsCard({persona, draft, done: published}).catch(problem);
    posts.replaceChildren(...[card].filter(Boolean));
  }

  /** A post makes the status "published", which is no change of a person's. */
  async function published() {
    drawPosts();
    const fresh = await get(`${where}?${query({persona})}`);
    if (fresh.version !== draft.version || unsaved()) return;
    draft = fresh;
    status.value = draft.status;
    drawState();
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(box.value);
      toast("Copied.");
    } catch {
      box.select();
      toast("Selected: press Ctrl+C.");
    }
  }

  function download() {
    const named = draft.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    saveFile(new Blob([box.value], {type: "text/markdown"}), `${named || "draft"}.md`);
  }

  function ask() {
    const gone = async () => {
      try {
        await remove(`${where}?${query({persona})}`);
        removeEventListener("beforeunload", warn);
        place.close();
        forget();
        go("write", "drafts");
      } catch (error) {
        place.querySelector(".dialog-body").append(problem(error));
      }
    };
    const place = dialog("Delete this draft?", h("p", {}, `“${draft.title}” goes with all of its ${number(draft.versions.length)} versions, for good.`),
      h("div", {class: "row"}, button("Delete", gone, {class: "danger"}), button("Keep it", () => place.close())));
  }

  const element = h("section", {class: "split draft"},
    h("div", {class: "cards"},
      h("form", {class: "card", on: {submit: event => { event.preventDefault(); keep(); }}},
        h("div", {class: "row"}, h("a", {href: "#/write/drafts"}, "All drafts")),
        title, box, state,
        h("div", {class: "row"}, save, h("label", {class: "inline"}, "Status", status), button("Publish …", publish), button("Copy", copy), button("Download", download), button("Delete", ask, {class: "danger"})),
        h("small", {class: "keys"}, "Ctrl+S or Ctrl+Enter saves")),
      notes),
    aside);
  element.addEventListener("keydown", event => {
    if ((event.ctrlKey || event.metaKey) && (event.key === "s" || event.key === "Enter")) { event.preventDefault(); keep(); }
  });
  draw();
  drawPosts();

  /** Shown again: what another tab saved meanwhile comes in, unless something stands here that was not saved. */
  async function shown() {
    if (saving || unsaved()) return;
    theirs = await get(`${where}?${query({persona})}`);
    takeTheirs();
  }

  return {element, shown};
}
