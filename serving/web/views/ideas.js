// What one could write about: a card with ideas of four kinds, each with why and its passages.

import {post} from "../lib/api.js";
import {button, empty, h, problem, toast} from "../lib/dom.js";
import {citations} from "./passage.js";

const KINDS = [
  ["link", "From your links"], ["follow_up", "Follow-ups to what was liked"], ["question", "What readers asked"],
  ["topic", "Touched, and never written about"],
];

/** The card; `take` gets the idea that a text is to be started from, `close` puts the card away. */
export async function offeredIdeas({persona, titles, kind, links, take, close}) {
  let told;
  try {
    told = await post("/v1/ideas", {persona, links, limit: 10});
  } catch (error) {
    return problem(error);
  }
  const failed = h("div", {});
  const keep = async idea => {
    const cited = idea.passages.map(({number, chunk_id, doc_id, url, title, start, end, quote, linked, visibility}) => (
      {number, chunk_id, doc_id, url, title, start, end, quote: quote.slice(0, 2000), linked, visibility}));
    try {
      await post("/v1/drafts", {persona, title: idea.title.slice(0, 200), kind, status: "idea", text: `${idea.title}\n\n${idea.why}`, by: "twin", citations: cited});
      toast("Kept among the drafts.");
    } catch (error) {
      failed.replaceChildren(problem(error));
    }
  };
  const item = idea => h("li", {},
    h("strong", {}, idea.title), h("span", {class: "meta"}, idea.why), citations(persona, idea.passages, titles),
    h("div", {class: "tools"}, button("Start from it", () => take(idea), {"aria-label": `Start from it: ${idea.title}`}),
      button("Keep for later", () => keep(idea), {"aria-label": `Keep for later: ${idea.title}`})));
  const groups = KINDS.map(([one, title]) => [title, told.ideas.filter(idea => idea.kind === one)]).filter(([, ideas]) => ideas.length);
  const left = Object.entries(told.left_out).map(([what, why]) => `${KINDS.find(([one]) => one === what)?.[1] ?? what}: ${why}`);
  return h("section", {class: "card step"},
    h("header", {}, h("h2", {}, "What you could write about"), button("Close", close)), failed,
    groups.length ? groups.map(([title, ideas]) => h("section", {}, h("h3", {class: "meta"}, title), h("ul", {class: "offered"}, ideas.map(item))))
      : empty("No ideas yet", "They come from writing that names a topic in several texts, and from what readers ask."),
    left.length ? h("details", {}, h("summary", {}, "Not among them"), h("ul", {class: "reasons"}, left.map(one => h("li", {}, one)))) : null);
}
