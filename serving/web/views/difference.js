// What is different in two texts: struck out what was removed, underlined what was added.

import {post} from "../lib/api.js";
import {h, problem} from "../lib/dom.js";
import {share} from "../lib/format.js";

const TAGS = {same: "span", removed: "del", added: "ins"};

/** A text with its changes marked, once the service has told them apart. */
export function difference(before, after) {
  const box = h("div", {class: "reading"}, h("p", {class: "meta"}, "…"));
  tell(box, before, after);
  return box;
}

async function tell(box, before, after) {
  try {
    const told = await post("/v1/drafts/difference", {old: before, new: after});
    const changed = told.pieces.some(piece => piece.kind !== "same");
    box.replaceChildren(
      h("p", {class: "meta"}, changed ? `${share(told.changed_share)} of the words of both differ` : "The same text."),
      h("div", {class: "text difference"}, told.pieces.map(piece => h(TAGS[piece.kind], {}, piece.text))));
  } catch (error) {
    box.replaceChildren(problem(error));
  }
}
