// Sources: where a person writes, what was collected, and collecting now.

import {get, post, put} from "../lib/api.js";
import {button, empty, h, outside, problem, toast} from "../lib/dom.js";
import {moment, name, number} from "../lib/format.js";
import {field, fields, resolved} from "../lib/schema_form.js";
import {bringing} from "./upload.js";

const GENERAL = ["full_name", "also_known_as", "about", "license", "visibility", "train_on", "languages", "mask_personal_data", "log_text", "log_text_days", "thread_days"];
// What every source can be told.
const FILTERS = ["include", "exclude", "visibility"];
const POLL_MS = 2000;
const OVER = ["SUCCESS", "FAILURE", "CANCELED"];
const TOLD = {SUCCESS: "done", FAILURE: "failed", CANCELED: "cancelled", QUEUED: "waiting its turn", NOT_STARTED: "starting", STARTING: "starting", STARTED: "running", CANCELING: "stopping"};
const NOTHING = {general: {}, sources: {}, fixed: [], collected: {}, tokens: {}};

export default async function sources({persona, rest, start, reload, choose, go, onLeave}) {
  const fresh = rest[0] === "new" || !persona;
  const known = fresh ? NOTHING : await get(`/ui/api/${persona}/sources`);
  const schema = start.persona, defs = schema.$defs ?? {};
  const titles = start.sources, kinds = Object.keys(titles);
  const said = h("div"), readers = {};

  const id = field("name", schema.properties.name, "", defs);
  const general = fields({properties: Object.fromEntries(GENERAL.map(key => [key, schema.properties[key]]))}, known.general, defs);
  const declared = h("div", {class: "cards"}), adding = h("div", {class: "row wrap"});

  function show(kind, values) {
    const {properties, description} = resolved(schema.properties[kind], defs), shared = entry => FILTERS.includes(entry[0]);
    const places = fields({properties: Object.fromEntries(Object.entries(properties).filter(entry => !shared(entry)))}, values, defs, {fixed: known.fixed});
    const filters = fields({properties: Object.fromEntries(Object.entries(properties).filter(shared))}, values, defs);
    readers[kind] = () => ({...places.read(), ...filters.read()});
    const drop = button("Remove", () => { delete readers[kind]; card.remove(); offer(); }, {class: "quiet", "aria-label": `Remove ${titles[kind]}`});
    const card = h("section", {class: "card source", "data-source": kind}, h("header", {}, h("h3", {}, titles[kind]), drop),
      h("p", {class: "meta"}, counts(kind), h("span", {class: "last"})), h("p", {class: "meta"}, description ?? ""), places.element,
      h("details", {}, h("summary", {}, "What to take and leave"), filters.element));
    declared.append(card);
    return card;
  }

  function counts(kind) {
    const found = known.collected[kind], token = known.tokens[kind];
    const missing = token === false ? ` · no token (TWIN_${kind.toUpperCase()}_TOKEN)` : "";
    if (!found?.items) return `nothing collected yet${missing}`;
    return `${number(found.items)} pieces · newest fetched ${moment(found.newest)}${missing}`;
  }

  function offer() {
    const left = kinds.filter(kind => !(kind in readers));
    adding.replaceChildren(...left.map(kind => button(`Add ${titles[kind]}`, () => { show(kind, {}).querySelector("input:not(:disabled), textarea")?.focus(); offer(); })));
  }

  for (const kind of kinds) if (known.sources[kind]) show(kind, known.sources[kind]);
  offer();

  const save = async event => {
    event.preventDefault();
    said.replaceChildren();
    const target = fresh ? id.read() : persona;
    const told = general.read(), person = Object.fromEntries(GENERAL.map(key => [key, told[key] ?? null]));
    const chosen = Object.fromEntries(kinds.map(kind => [kind, readers[kind]?.() ?? null]));
    try {
      const saved = await put(`/ui/api/${encodeURIComponent(target ?? "")}/sources`, {general: person, sources: chosen});
      toast("Saved.");
      if (!fresh) return;
      choose(saved.name);
      go("sources");
      await reload();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  };
  const form = h("form", {on: {submit: save}},
    h("details", {class: "card", open: fresh}, h("summary", {}, fresh ? "Who is it?" : "About the person"), fresh ? id.element : null, general.element),
    declared.children.length ? null : h("p", {class: "meta"}, "Add the places where this person writes:"), declared, adding,
    h("div", {class: "row"}, h("button", {class: "primary"}, fresh ? "Add the person" : "Save"),
      h("small", {class: "meta"}, "Saving writes the person's YAML file anew: comments in it are lost. Tokens and paths are never set here.")), said);

  const title = h("div", {class: "title"}, h("h1", {}, fresh ? "Add a person" : "Sources"),
    fresh ? null : h("a", {href: "#/sources/new", class: "button"}, "Add a person"));
  return fresh ? [title, form] : [title, collecting(persona, declared, titles, onLeave), bringing({persona, onCollected: reload, onLeave}), form];
}

/** "Collect now", the latest runs, and what each source's last crawl counted. */
function collecting(persona, declared, titles, onLeave) {
  const said = h("div"), list = h("div", {"aria-live": "polite"}, h("p", {class: "meta"}, "asking Dagster …"));
  let timer = null, gone = false;
  onLeave(() => { gone = true; clearTimeout(timer); });

  async function watch() {
    clearTimeout(timer);
    try {
      const found = await get(`/ui/api/${persona}/runs`);
      if (gone) return;
      if (found.down) { list.replaceChildren(problem(found.down)); return; }
      list.replaceChildren(...(found.runs.length ? found.runs.slice(0, 3).map(run => line(run, found.url, titles)) : [empty("Never collected from here", "“Collect now” fetches what is new from every source below.")]));
      for (const card of declared.children) lastOf(card, found.last[card.dataset.source]);
      if (found.runs.some(run => !OVER.includes(run.status))) timer = setTimeout(watch, POLL_MS);
    } catch (error) {
      list.replaceChildren(problem(error));
    }
  }
  const collect = async () => {
    said.replaceChildren();
    now.disabled = true;
    try {
      await post(`/ui/api/${persona}/collect`);
      toast("Collecting has started.");
      await watch();
    } catch (error) {
      list.replaceChildren();
      said.replaceChildren(problem(error));
    }
    now.disabled = false;
  };
  const now = button("Collect now", collect, {class: "primary"});
  watch();
  return h("section", {class: "card"}, h("header", {}, h("h2", {}, "Collecting"), now), said, list);
}

function line(run, url, titles) {
  const steps = run.stepStats ?? [], ended = steps.filter(step => ["SUCCESS", "FAILURE", "SKIPPED"].includes(step.status));
  const failed = steps.filter(step => step.status === "FAILURE").map(step => name(step.stepKey.replace(/^raw_/, ""), titles));
  const running = steps.filter(step => step.status === "IN_PROGRESS").map(step => name(step.stepKey.replace(/^raw_/, ""), titles));
  const detail = [
    OVER.includes(run.status) ? null : `sources done: ${ended.length}`,
    running.length ? `now ${running.join(", ")}` : null,
    failed.length ? `failed: ${failed.join(", ")}` : null,
  ].filter(Boolean).join(" · ");
  return h("p", {class: "run"}, h("span", {class: `badge ${run.status.toLowerCase()}`}, TOLD[run.status] ?? run.status.toLowerCase()),
    ` ${moment((run.startTime ?? run.creationTime) * 1000)} ${detail ? `· ${detail} ` : ""}· `, outside(`${url}/runs/${run.runId}`, "watch in Dagster"));
}

function lastOf(card, last) {
  const place = card.querySelector(".last");
  if (!last) return;
  const news = ["new", "changed", "unchanged", "deleted"].filter(key => last[key]).map(key => `${number(last[key])} ${key}`);
  place.textContent = ` · last looked at ${moment(last.at)}${news.length ? `: ${news.join(", ")}` : ""}${last.error ? ` · in error: ${last.error}` : ""}`;
}
