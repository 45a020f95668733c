// Publishing: the very text with its length at each place, posted by a click; and what became of each post.

import {get, post, query} from "../lib/api.js";
import {button, dialog, h, outside, problem, toast} from "../lib/dom.js";
import {moment, number} from "../lib/format.js";

const TITLES = {linkedin: "LinkedIn", x: "X", webhook: "Webhook", bluesky: "Bluesky", mastodon: "Mastodon", mail: "Mail"};
const OUTCOMES = {begun: "on its way", opened: "opened in the composer", made: "posted", refused: "not posted", unknown: "nobody knows whether it was posted"};
const OPEN = ["begun", "opened", "unknown"];

/** The dialog of a draft as it was saved. `done` is called when something of the ledger has changed. */
export async function publishDialog({persona, draft, done}) {
  const seen = {persona, draft_id: draft.id, version: draft.version};
  const told = await post("/v1/publishing/preview", seen);
  const mine = h("input", {type: "checkbox"});
  const outcome = h("div", {class: "cards", role: "status"});
  const send = async (place, how) => {
    box.querySelectorAll("button.send").forEach(one => { one.disabled = true; });
    outcome.replaceChildren(h("p", {class: "meta"}, "…"));
    try {
      const made = await post("/v1/publishing", {...seen, place, how, mine: mine.checked});
      if (made.outcome === "made") outcome.replaceChildren(h("p", {}, h("strong", {}, `Posted to ${TITLES[place]}. `), made.address ? outside(made.address, "See it there") : ""));
      else outcome.replaceChildren(h("p", {}, `Once it is posted in ${TITLES[place]}'s composer, say so under Posts.`));
    } catch (error) {
      outcome.replaceChildren(problem(error));
    }
    box.querySelectorAll("button.send").forEach(one => { one.disabled = one.dataset.never === "true"; });
    done();
  };
  const row = one => {
    const length = one.limit ? `${number(one.length)} of ${number(one.limit)} characters, as it counts` : `${number(one.length)} characters`;
    return h("li", {class: "place"},
      h("div", {}, h("strong", {}, one.title), h("span", {class: one.problem ? "meta over" : "meta"}, length)),
      h("div", {class: "row"},
        one.api ? button(`Post to ${one.title}`, () => send(one.place, "api"), {class: "primary send", disabled: Boolean(one.problem), "data-never": String(Boolean(one.problem))}) : null,
        one.composer && !one.problem ? h("a", {class: "button", href: one.composer, target: "_blank", rel: "noopener noreferrer", on: {click: () => send(one.place, "composer")}}, `Open ${one.title}'s composer`) : null,
        !one.api && !one.composer ? h("span", {class: "meta"}, "too long for an address: copy it") : null));
  };
  const box = dialog("Publish", h("p", {class: "meta"}, "This very text goes out, once, when you click:"),
    h("div", {class: "text very-text", tabindex: "0", "aria-label": "The text that goes out"}, told.text),
    told.visibility === "public" ? null : h("p", {class: "warned", role: "note"}, `It leans on writing that is ${told.visibility === "private" ? "private" : "for connections only"}: look at what it tells.`),
    h("label", {class: "check"}, mine, " The final text is mine: when the post is collected, the twin may learn from it"),
    h("ul", {class: "places"}, told.places.map(row)), outcome);
}

/** The posts of a draft, as a card; nothing where there are none. */
export async function postsCard({persona, draft, done}) {
  const posts = (await get(`/v1/publishing?${query({persona})}`)).posts.filter(one => one.draft_id === draft.id);
  if (!posts.length) return null;
  const say = async (one, made) => {
    try {
      await post(`/v1/publishing/${one.number}`, {persona, made});
      toast("Written down.");
      done();
    } catch (error) {
      card.append(problem(error));
    }
  };
  const card = h("section", {class: "card"}, h("h2", {}, "Posts"), h("ul", {class: "posts"}, posts.map(one => h("li", {},
    h("strong", {}, TITLES[one.place] ?? one.place), " ", one.address ? outside(one.address, OUTCOMES[one.outcome]) : OUTCOMES[one.outcome],
    h("div", {class: "meta"}, [moment(one.at), one.mine ? "the text is yours" : "not to learn from", one.version === draft.version ? null : "of another version"].filter(Boolean).join(" · ")),
    one.outcome === "refused" && one.reason ? h("div", {class: "meta"}, one.reason) : null,
    OPEN.includes(one.outcome) ? h("div", {class: "tools"}, button("It was posted", () => say(one, true)), button("It was not", () => say(one, false))) : null))));
  return card;
}
