// Dataset versions: what each is made of, and some of its rows.

import {get, query} from "../lib/api.js";
import {button, empty, facts, h, problem, select} from "../lib/dom.js";
import {capital, name, number} from "../lib/format.js";

const STEP = 5;

export default async function datasets(persona) {
  const found = await get(`/ui/api/${persona}/datasets`);
  if (!found.length) return empty("No dataset yet", "A dataset is built once there is enough writing. Collect more under Sources.");
  return h("section", {class: "cards"}, found.map(one => card(persona, one)));
}

const counted = counts => Object.entries(counts).filter(([, count]) => count).map(([key, count]) => `${name(key)} ${number(count)}`).join(", ") || "none";

function card(persona, one) {
  const rows = h("div");
  const opened = event => event.target.open && !rows.firstChild && samples(persona, one, rows);
  return h("section", {class: "card"},
    h("header", {}, h("h3", {}, `${capital(one.kind)} `, h("code", {}, one.version)), one.latest ? h("span", {class: "badge success"}, "latest") : null),
    facts([["Rows", counted(one.counts)], ["Tasks", counted(one.tasks)], ["Dropped", counted(one.dropped)], ["Erased since", one.erased ? number(one.erased) : null],
      ["Made from", Object.entries(one.parents).map(([asset, version]) => `${name(asset)} ${version}`).join(", ")], ["Prompts", one.prompts],
      ["Licence", `${one.license}, ${one.visibility}`], ["Seed", one.seed]]),
    h("details", {on: {toggle: opened}}, h("summary", {}, "Sample rows"), rows));
}

async function samples(persona, one, place, side = "train", offset = 0) {
  try {
    const path = `/ui/api/${persona}/datasets/${one.kind}/${one.version}/rows`;
    const found = await get(`${path}?${query({side, offset: String(offset)})}`);
    const sides = select("Side", [["train", "Training side"], ["test", "Test side"], ...(one.counts.thumbs ? [["thumbs", "Single thumbs"]] : [])], side, chosen => samples(persona, one, place, chosen));
    const turn = by => button(by < 0 ? "Back" : "Next", () => samples(persona, one, place, side, offset + by));
    place.replaceChildren(
      h("div", {class: "row"}, sides, h("span", {class: "meta"}, found.all ? `${offset + 1}–${Math.min(offset + STEP, found.all)} of ${number(found.all)}` : "no rows"),
        offset ? turn(-STEP) : null, offset + STEP < found.all ? turn(STEP) : null),
      ...found.rows.map(row => h("article", {class: "sample"}, h("p", {class: "meta"}, name(row.task)),
        [...row.messages, ...["chosen", "rejected"].filter(key => row[key]).map(key => ({...row[key], role: key})),
          ...(row.completion ? [{...row.completion, role: row.label ? "liked" : "not liked"}] : [])].map(message =>
          h("div", {class: `message ${message.role.replace(" ", "-")}`}, h("b", {}, message.role), h("div", {class: "text"}, message.content))))));
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}
