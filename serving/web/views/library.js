// Library: documents and their chunks, dataset versions, the index.

import {get, query, remove} from "../lib/api.js";
import {button, empty, facts, h, outside, problem, select, toast} from "../lib/dom.js";
import {closed, day, moment, name, number} from "../lib/format.js";
import {table} from "../lib/table.js";
import datasets from "./datasets.js";
import adding from "./library_files.js";

const PAGE = 30;

export default async function library({persona, rest, start, onLeave}) {
  const [part = "documents", id] = rest;
  if (part === "document") return documentPage(persona, id, start.sources);
  const tab = (key, label) => h("a", {href: `#/library/${key}`, "aria-current": part === key ? "true" : null}, label);
  const views = {documents, kept, datasets, index};
  return [
    h("div", {class: "title"}, h("h1", {}, "Library"),
      h("div", {class: "segments"}, tab("documents", "Documents"), tab("kept", "Kept"), tab("datasets", "Datasets"), tab("index", "Index"))),
    await (views[part] ?? documents)(persona, start.sources, onLeave),
  ];
}

async function documents(persona, titles) {
  const list = h("div", {class: "list"}), count = h("p", {class: "meta", role: "status"}), more = h("div", {class: "row"});
  const asked = {q: "", source: "", category: "", since: "", until: ""};
  const page = offset => get(`/ui/api/${persona}/documents?${query({...asked, offset: String(offset), limit: String(PAGE)})}`);
  let shown = 0, turn = 0;

  async function load(first) {
    const mine = ++turn;
    try {
      const found = await page(first ? 0 : shown);
      if (mine !== turn) return found;  // something else was asked for meanwhile
      if (first) { shown = 0; list.replaceChildren(); }
      shown += found.documents.length;
      list.append(...found.documents.map(one => item(one, titles)));
      count.textContent = found.found === found.all ? `${number(found.all)} documents` : `${number(found.found)} of ${number(found.all)} documents`;
      if (found.audience !== "private") count.textContent += ` that ${found.audience === "public" ? "anyone" : "connections"} may see (all of them after a login)`;
      if (!found.found) list.append(empty("Nothing matches", "Use fewer words, or widen the dates."));
      more.replaceChildren(...(shown < found.found ? [button("Show more", () => load(false))] : []));
      return found;
    } catch (error) {
      list.replaceChildren(problem(error));
      return null;
    }
  }
  const found = await load(true);
  if (found && !found.all) return empty("No documents yet", `Collect under Sources; what is collected appears here once the corpus is built${found.audience === "private" ? "" : ", and what is not public after a login"}.`, h("a", {class: "button", href: "#/sources"}, "Go to Sources"));
  let timer;
  const set = (key, wait) => value => { asked[key] = value; clearTimeout(timer); timer = setTimeout(() => load(true), wait); };
  const input = (key, label, attributes) => {
    const box = h("input", {"aria-label": label, ...attributes, on: {input: () => set(key, 250)(box.value)}});
    return box;
  };
  const dated = (key, label) => h("label", {class: "inline"}, `${label} `, input(key, label, {type: "date"}));
  return h("section", {}, h("div", {class: "filters"},
    input("q", "Search documents", {type: "search", placeholder: "Search titles and text", "data-focus": true}),
    select("Source", [["", "All sources"], ...(found?.sources ?? []).map(one => [one, name(one, titles)])], "", set("source", 0)),
    select("Category", [["", "All kinds"], ...(found?.categories ?? []).map(one => [one, name(one)])], "", set("category", 0)),
    dated("since", "From"), dated("until", "To")), count, list, more);
}

const item = (one, titles) => h("a", {class: "item", href: `#/library/document/${encodeURIComponent(one.doc_id)}`},
  h(one.title ? "strong" : "b", {}, one.title || `${one.beginning} …`), one.title ? h("span", {}, one.beginning) : null,
  h("small", {class: "meta"}, `${name(one.source, titles)} · ${one.category} · ${day(one.published_at)} · ${number(one.words)} words${one.split === "heldout" ? " · held out" : ""}${closed(one)}`));

/** Pages and papers of others that the twin may cite; they are no documents of the persona's own. */
async function kept(persona, titles, onLeave) {
  const place = h("div"), draw = async () => {
    try {
      place.replaceChildren(await keptList(persona));
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  await draw();
  return h("section", {}, adding({persona, onKept: draw, onLeave}), place);
}

async function keptList(persona) {
  const entries = await get(`/v1/library?${query({persona})}`);
  const list = h("div", {class: "list"}), none = empty("Nothing kept yet", "Files that are added here, and pages that the API adds to the library (POST /v1/links), are listed here.");
  if (!entries.length) return none;
  const takeOut = one => async () => {
    try {
      await remove(`/v1/library?${query({persona, doc_id: one.doc_id})}`);
      rows.get(one.doc_id).remove();
      toast("Removed. The twin stops citing it with the next run of the pipeline.");
      if (!list.children.length) list.replaceWith(none);
    } catch (error) {
      list.before(problem(error));
    }
  };
  const rows = new Map(entries.map(one => [one.doc_id, h("div", {class: "item"}, h("strong", {}, outside(one.url, one.title || one.url)),
    h("small", {class: "meta"}, `added ${moment(one.added_at)} · ${number(one.words)} words`),
    h("div", {class: "row"}, button("Remove", takeOut(one), {class: "danger", "aria-label": `Remove ${one.title || one.url}`})))]));
  list.append(...rows.values());
  return list;
}

async function documentPage(persona, id, titles) {
  const found = await get(`/ui/api/${persona}/documents/${encodeURIComponent(id)}`);
  const points = Array.from(found.text);
  return [
    h("p", {}, h("a", {href: "#/library"}, "← All documents")),
    h("h1", {}, found.title || "Post"),
    h("p", {class: "meta"}, `${name(found.source, titles)} · ${found.category} · ${day(found.published_at)} · ${number(found.words)} words${closed(found)} · `, outside(found.url, "original")),
    facts([["Side of the split", found.split === "heldout" ? "held out for evaluation" : "training"], ["Duplicates", found.duplicates.length ? number(found.duplicates.length) : null],
      ["Left out in cleaning", found.removed.length ? found.removed.join(", ") : null]]),
    found.chunks.length
      ? h("div", {class: "chunks reading"}, found.chunks.map((chunk, n) => h("section", {},
        h("p", {class: "meta"}, `Chunk ${n + 1} · ${number(chunk.tokens)} tokens${chunk.heading ? ` · ${chunk.heading}` : ""}`),
        h("div", {class: "text"}, points.slice(chunk.start, chunk.end).join("")))))
      : h("div", {class: "text reading"}, found.text),
  ];
}

async function index(persona) {
  const {index: vectors, tables} = await get(`/ui/api/${persona}/index`);
  if (!vectors.chunks && !tables.length) return empty("Nothing is indexed yet", "Collect under Sources; the index follows by itself.");
  return h("section", {}, h("div", {class: "card"}, h("h2", {}, "Vector index"),
    facts([["Chunks", number(vectors.chunks)], ["Store", name(vectors.store)], ["Embedder fingerprint", h("code", {}, vectors.embedder ?? "none")]])),
  h("h2", {}, "Tables"), table("Latest version of each table", [
    ["Table", row => name(row.asset)], ["Rows", row => number(row.rows), "number"], ["Version", row => h("code", {}, row.name.replace(".parquet", ""))],
    ["Made", row => moment(row.made_at)], ["Versions", row => number(row.versions), "number"],
  ], tables));
}
