// Drafts: the list of them, and how a text becomes one.

import {file, get, post, put, query} from "../lib/api.js";
import {button, empty, h, problem, saveFile, select, toast} from "../lib/dom.js";
import {moment, name, number} from "../lib/format.js";

export const STATUSES = [["idea", "Idea"], ["draft", "Draft"], ["ready", "Ready"], ["published", "Published"]];
export const BY = {twin: "the twin", person: "you"};

/** The list. `go` opens one. */
export async function draftList({persona, go}) {
  const told = await get(`/v1/drafts?${query({persona})}`);
  const box = h("div", {}), failed = h("div", {});
  const begin = async () => {
    try {
      go("write", "drafts", (await post("/v1/drafts", {persona, title: "Untitled", status: "idea"})).id);
    } catch (error) {
      failed.replaceChildren(problem(error));
    }
  };
  const row = one => h("a", {class: "item", href: `#/write/drafts/${one.id}`},
    h("b", {}, one.title, " ", h("span", {class: `badge ${one.status}`}, name(one.status))),
    h("span", {}, `${name(one.kind)} · last by ${BY[one.by]} · ${number(one.characters)} characters · ${number(one.versions)} version${one.versions === 1 ? "" : "s"} · ${moment(one.changed_at)}`));
  const draw = status => {
    const shown = told.drafts.filter(one => !status || one.status === status);
    box.replaceChildren(shown.length ? h("div", {class: "list"}, shown.map(row))
      : empty(told.drafts.length ? "None with that status" : "No drafts yet", "Keep a text that the twin wrote in Compose or In steps, or begin one of your own."));
  };
  const filter = select("Status", [["", "All"], ...STATUSES], "", draw);
  const save = async () => {
    try {
      saveFile(await file(`/v1/drafts/export?${query({persona})}`), "drafts.jsonl");
    } catch (error) {
      failed.replaceChildren(problem(error));
    }
  };
  draw("");
  return h("section", {},
    h("div", {class: "row"}, filter, button("New draft", begin, {class: "primary"}), told.drafts.length ? button("Export all", save) : null),
    failed,
    told.damaged.length ? h("p", {class: "warned"}, `Can't be read: ${told.damaged.join(", ")}. Bring them back from a backup.`) : null,
    box,
    told.drafts.length > told.most_drafts * 0.8 ? h("p", {class: "meta"}, `${number(told.drafts.length)} of ${number(told.most_drafts)} drafts that are kept`) : null);
}

/**
 * Keep a text of the twin's as a draft and open it; what a person made of it meanwhile (`edited`) is its second version. Gives
 * what went wrong, or nothing.
 */
export async function keepDraft({persona, title, kind, text, edited, requestId, model, citations}) {
  const cited = (citations ?? []).slice(0, 40).map(one => ({
    number: one.number, chunk_id: one.chunk_id, doc_id: one.doc_id, url: one.url, title: one.title, start: one.start, end: one.end,
    quote: (one.quote ?? "").slice(0, 2000), linked: Boolean(one.linked), visibility: one.visibility ?? "public",
  }));
  try {
    const draft = await post("/v1/drafts", {persona, title: (title ?? "").slice(0, 200), kind, text, by: "twin", request_id: requestId, model, citations: cited});
    if (edited != null && edited !== text) await put(`/v1/drafts/${draft.id}`, {persona, version: draft.version, text: edited});
    toast("Kept as a draft.");
    location.hash = `#/write/drafts/${draft.id}`;
    return null;
  } catch (error) {
    return problem(error);
  }
}
