// A cited passage in its document, with the quoted span marked.

import {get} from "../lib/api.js";
import {dialog, h, outside} from "../lib/dom.js";
import {closed, day, name} from "../lib/format.js";
import {firstWords} from "../lib/words.js";

/** Open the passage that a citation points to; where the document is gone, what was quoted of it. */
export async function openPassage(persona, citation, titles) {
  const body = h("div", {class: "reading"}, "…");
  dialog(citation.title || "Post", body);
  if (citation.linked) {
    body.replaceChildren(h("p", {class: "meta"}, "From a source that came with the request:"),
      h("blockquote", {class: "text"}, citation.quote), h("p", {}, outside(citation.url, citation.url)));
    return;
  }
  let found;
  try {
    found = await get(`/ui/api/${persona}/documents/${encodeURIComponent(citation.doc_id)}`);
  } catch {
    body.replaceChildren(h("p", {class: "meta"}, "The document is no longer in the corpus. This was quoted of it:"),
      h("blockquote", {class: "text"}, citation.quote), h("p", {}, outside(citation.url, citation.url)));
    return;
  }
  // The service counts code points, a string here counts UTF-16 units.
  const points = Array.from(found.text), part = (from, to) => points.slice(from, to).join("");
  const mark = h("mark", {tabindex: "-1"}, part(citation.start, citation.end));
  body.replaceChildren(
    h("p", {class: "meta"}, `${name(found.source, titles)} · ${day(found.published_at)} · `, outside(found.url, "read it where it was published")),
    h("div", {class: "text"}, part(0, citation.start), mark, part(citation.end)));
  mark.scrollIntoView({block: "center"});
}

/** Numbered chips, each of which opens its passage. */
export const citations = (persona, found, titles) => h("ol", {class: "citations", "aria-label": "Passages"},
  found.map(one => h("li", {}, h("button", {type: "button", class: "chip", on: {click: () => openPassage(persona, one, titles)}},
    h("b", {}, one.number), " ", one.title || firstWords(one.quote, 6), closed(one)))));
