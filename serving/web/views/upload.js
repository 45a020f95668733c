// Bringing an export: a file is dropped or chosen, uploaded, previewed, and only then collected.

import {get, post, query, remove, upload} from "../lib/api.js";
import {button, facts, folded, h, problem, select, toast} from "../lib/dom.js";
import {bytes, capital, closed, day, moment, name, number, words} from "../lib/format.js";

const POLL_MS = 800;
const SHOWN = 5;
const LEFT = {too_short: "too short", mostly_links: "mostly links", mostly_symbols: "mostly symbols", wrong_language: "in another language", partial: "cut off at the source", block_page: "a block page"};

const tally = (counts, say = words) => Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([key, count]) => `${number(count)} ${say(key, count)}`).join(", ");
const plural = (key, count) => key === "code" || count === 1 ? key : `${key}s`;
const OWNER = "log in (TWIN_UI_PASSWORD), or set TWIN_LOCAL_AUDIENCE=private.";
const AUDIENCE = {public: "public", connections: "for connections", private: "private"};

/** The card. `onCollected` is called once a collection was declared. */
export function bringing({persona, onCollected, onLeave}) {
  const base = `/ui/api/${encodeURIComponent(persona)}/uploads`;
  const place = h("div", {class: "bring"}), live = h("p", {class: "hidden", role: "status"});
  let most = null, kinds = "", timer = null, going = null, gone = false;
  onLeave(() => { gone = true; clearTimeout(timer); going?.abort(); });

  const put = (...parts) => { if (!gone) place.replaceChildren(...parts.flat().filter(Boolean)); };
  const say = text => { live.textContent = text; };

  function idle(error) {
    clearTimeout(timer);
    const input = h("input", {type: "file", class: "hidden", tabindex: "-1", "aria-label": "Export to upload", on: {change: () => { if (input.files[0]) send(input.files[0]); }}});
    const zone = h("div", {class: "drop"},
      h("p", {}, h("strong", {}, "Drop an export here"), " or a zip of a folder of writing"),
      button("Choose a file", () => input.click(), {class: "primary"}), input,
      h("p", {class: "meta"}, `${kinds ? `What is read: ${kinds}. ` : ""}${most ? `Up to ${number(most)} MB. ` : ""}You see what it would bring before anything is collected.`));
    const over = inside => event => { event.preventDefault(); zone.classList.toggle("over", inside); };
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, over(true));
    zone.addEventListener("dragleave", over(false));
    zone.addEventListener("drop", event => {
      over(false)(event);
      const entry = event.dataTransfer.items[0]?.webkitGetAsEntry?.();
      if (entry?.isDirectory) return idle({message: `${entry.name} is a folder.`, fix: "zip it, and drop the zip."});
      const files = event.dataTransfer.files;
      if (files.length > 1) return idle({message: `Those are ${files.length} files.`, fix: "drop one at a time; parts of one export go into a zip together."});
      if (files[0]) send(files[0]);
    });
    put(error ? problem(error) : null, zone);
  }

  async function send(file) {
    if (most && file.size > most * 1e6) return idle({message: `${file.name} has ${bytes(file.size)}; an upload may have ${number(most)} MB.`, fix: "raise TWIN_UPLOAD_MAX_MB, or name the file in the person's YAML."});
    const bar = h("progress", {max: 1, value: 0, "aria-label": "Uploaded"}), told = h("span", {class: "meta"});
    going = new AbortController();
    put(h("p", {}, "Uploading ", h("strong", {}, file.name)), bar,
      h("div", {class: "row"}, told, button("Cancel", () => going?.abort(), {class: "quiet"})));
    say(`Uploading ${file.name}`);
    try {
      const staged = await upload(`${base}?${query({name: file.name})}`, file, {signal: going.signal, onProgress: sent => {
        bar.value = sent / file.size;
        told.textContent = `${bytes(sent)} of ${bytes(file.size)}`;
      }});
      await follow(staged);
    } catch (error) {
      idle(error.name === "AbortError" ? null : error);
    } finally {
      going = null;
    }
  }

  /** Watch an upload until its preview is there. */
  async function follow(staged) {
    const reading = [h("p", {}, "Reading ", h("strong", {}, staged.name), " …"), h("progress", {"aria-label": "Reading"}),
      h("div", {class: "row"}, h("span", {class: "meta"}, "A large export takes some minutes. You may leave this page meanwhile."), button("Cancel", () => cancel(staged), {class: "quiet"}))];
    put(reading);
    const look = async () => {
      try {
        const found = await get(`${base}/${staged.id}`);
        if (gone) return;
        if (found.state === "reading") timer = setTimeout(look, POLL_MS);
        else if (found.state === "ready") ready(found);
        else failed(found);
      } catch (error) {
        if (!gone) idle(error);
      }
    };
    await look();
  }

  async function cancel(staged, error) {
    clearTimeout(timer);
    try { await remove(`${base}/${staged.id}`); } catch { /* it is gone already */ }
    idle(error);
  }

  const again = async staged => {
    try {
      await post(`${base}/${staged.id}/preview`);
      await follow(staged);
    } catch (error) {
      idle(error);
    }
  };

  function failed({upload: staged, error}) {
    say(error.message);
    put(problem(error), h("div", {class: "row"}, button("Choose another file", () => cancel(staged)), button("Read it again", () => again(staged), {class: "quiet"})));
  }

  function ready(found) {
    const {upload: staged, report} = found, said = h("div");
    say(`The preview of ${staged.name} is ready: ${report.pieces} pieces would be kept.`);
    const needs = Object.fromEntries(report.needs.map(key => [key, h("input", {id: `need-${key}`, value: "", placeholder: "https://www.linkedin.com/in/…", inputmode: "url", autocapitalize: "off"})]));
    const same = found.kept.find(one => one.name === staged.name)?.id ?? "";
    const instead = found.several && found.kept.length
      ? select("Beside or instead of an earlier upload", [["", "beside what was uploaded before"], ...found.kept.map(one => [one.id, `instead of ${one.name} (${moment(one.at)})`])], same) : null;
    const collect = button("Collect", async () => {
      collect.disabled = true;
      said.replaceChildren();
      const fields = Object.fromEntries(Object.entries(needs).map(([key, box]) => [key, box.value.trim()]).filter(([, value]) => value));
      try {
        const answer = await post(`${base}/${staged.id}/collect`, {fields, replaces: instead?.value || null});
        toast(answer.down ? "Added to the sources. It is collected once Dagster runs." : "Collecting has started.");
        idle();
        await onCollected();
      } catch (error) {
        collect.disabled = false;
        said.replaceChildren(problem(error));
      }
    }, {class: "primary", disabled: !report.pieces});
    put(
      h("div", {}, h("h3", {}, capital(report.kind)), h("p", {class: "meta"}, `${staged.name} · ${bytes(staged.bytes)} · nothing is collected yet`)),
      counts(report), report.warnings.map(text => h("p", {class: "warned"}, text)), leftOut(report, found.sees_all), texts(report, found.hidden),
      Object.entries(needs).map(([key, box]) => h("div", {class: "field"}, h("label", {for: box.id}, h("span", {}, name(key))), box)),
      !found.several && found.kept.length ? h("p", {class: "meta"}, `It takes the place of ${found.kept[0].name}, which is kept until this one has been collected well.`) : null,
      h("div", {class: "row"}, collect, instead, button("Read it again", () => again(staged), {class: "quiet"}), button("Cancel", () => cancel(staged), {class: "quiet"})), said);
  }

  idle();
  get(base).then(found => {
    most = found.max_mb;
    kinds = found.kinds;
    if (gone || going) return;
    if (found.staged.length) follow(found.staged[0]);
    else idle();
  }).catch(error => { if (!gone) idle(error); });
  return h("section", {class: "card", id: "bring"}, h("header", {}, h("h2", {}, "Bring an export")), place, live);
}

function counts(report) {
  const dates = report.first ? `${day(report.first)} to ${day(report.last)}${report.undated ? `, ${number(report.undated)} without a date` : ""}` : "no dates";
  return facts([
    ["would be kept", report.pieces ? `${number(report.pieces)} (${tally(report.categories, plural)})` : "nothing"],
    ["would be left out", number(report.left_out.reduce((sum, one) => sum + one.count, 0))],
    ["who may see them", tally(report.visibilities, key => AUDIENCE[key])],
    ["written", report.pieces ? dates : null],
    ["languages", tally(report.languages, key => key)],
    ["words to learn from", number(report.words)],
  ]);
}

function leftOut(report, seesAll) {
  const dropped = Object.entries(report.dropped).sort((a, b) => b[1] - a[1]);
  return [
    report.left_out.length ? folded(`Left out, and why (${number(report.left_out.reduce((sum, one) => sum + one.count, 0))})`, () => h("ul", {class: "reasons"}, report.left_out.map(one =>
      h("li", {}, h("strong", {}, number(one.count)), ` ${one.reason}`, one.samples.length ? h("ul", {}, one.samples.map(text => h("li", {class: "meta"}, text))) : null)), seesAll ? null : h("li", {class: "meta"}, `Which those are is told to the owner: ${OWNER}`))) : null,
    dropped.length ? folded(`Kept, and not learnt from (${number(dropped.reduce((sum, [, count]) => sum + count, 0))})`, () => h("ul", {class: "reasons"},
      dropped.map(([reason, count]) => h("li", {}, h("strong", {}, number(count)), ` ${LEFT[reason] ?? words(reason)}`)))) : null,
  ];
}

/** Five texts at a time, as they were cleaned. */
function texts(report, hidden) {
  const note = hidden ? h("p", {class: "meta"}, `${number(hidden)} more texts are not public, and shown to the owner: ${OWNER}`) : null;
  if (!report.samples.length) return note;
  const list = h("div", {class: "texts"}), from = h("span", {class: "meta"});
  let next = 0;
  const show = () => {
    if (next >= report.samples.length) next = 0;
    const some = report.samples.slice(next, next + SHOWN);
    list.replaceChildren(...some.map(one => h("article", {class: "sample"},
      h("p", {class: "meta"}, `${one.title ? `${one.title} · ` : ""}${one.category} · ${day(one.published_at)} · ${number(one.words)} words${closed(one)}`),
      h("div", {class: "text", tabindex: "0"}, one.cut ? `${one.text} …` : one.text))));
    from.textContent = `${next + 1} to ${next + some.length} of ${report.samples.length} random ones`;
    next += SHOWN;
  };
  show();
  const more = report.samples.length > SHOWN ? button("Another five", show) : null;
  return [h("header", {class: "row"}, h("h3", {}, "As they would be read"), from, more), list, note];
}
