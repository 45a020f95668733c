// Papers and notes for the library: several files at once, each with its own progress and its own result.

import {ApiError, query, upload} from "../lib/api.js";
import {button, h, select} from "../lib/dom.js";
import {bytes, number} from "../lib/format.js";

const MOST_BYTES = 10e6;
const FORMS = ".pdf,.html,.htm,.xhtml,.md,.markdown,.txt,.text";
const SEEN = {public: "Seen by whoever sees the writing", connections: "Seen by connections", private: "Seen by the owner alone"};

/** The card. `onKept` is called when some were kept and none is on its way any more. */
export default function adding({persona, onKept, onLeave}) {
  const base = `/ui/api/${encodeURIComponent(persona)}/library`, leaving = new AbortController();
  onLeave(() => leaving.abort());
  const waiting = [], live = h("p", {class: "hidden", role: "status"});
  const list = h("ul", {class: "files", "aria-label": "Files"});
  let busy = false, kept = 0, failed = 0;

  const who = select("Who may see answers made from them", Object.entries(SEEN), "public");
  const input = h("input", {type: "file", multiple: true, accept: FORMS, class: "hidden", tabindex: "-1", "aria-label": "Files for the library", on: {change: () => { take(input.files); input.value = ""; }}});
  const zone = h("div", {class: "drop"},
    h("p", {}, h("strong", {}, "Drop papers and notes here"), ", as many as you like"),
    h("div", {class: "row"}, button("Choose files", () => input.click(), {class: "primary"}), who), input,
    h("p", {class: "meta"}, `PDF, HTML, Markdown and plain text, up to ${number(MOST_BYTES / 1e6)} MB each. The twin finds and cites them from the next collecting on; it never takes them for the person's own words.`));
  const over = inside => event => { event.preventDefault(); zone.classList.toggle("over", inside); };
  for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", event => { over(false)(event); take(event.dataTransfer.files); });

  function take(files) {
    for (const file of files) {
      const row = line(file);
      list.append(row.element);
      waiting.push(row);
    }
    next();
  }

  /** One after another: the reading of a paper takes a core for itself. */
  async function next() {
    if (busy) return;
    busy = true;
    [kept, failed] = [0, 0];
    while (waiting.length && !leaving.signal.aborted) (await waiting.shift().send()) ? kept++ : failed++;
    busy = false;
    if (leaving.signal.aborted) return;
    live.textContent = `${number(kept)} kept${failed ? `, ${number(failed)} not` : ""}.`;
    if (kept) onKept();
  }

  function line(file) {
    const bar = h("progress", {max: 1, value: 0, "aria-label": `Uploaded of ${file.name}`}), said = h("span", {class: "meta"}, "waits"), after = h("div", {class: "row"});
    const element = h("li", {}, h("div", {}, h("strong", {}, file.name), " ", h("span", {class: "meta"}, bytes(file.size))), bar, said, after);
    const send = async () => {
      after.replaceChildren();
      element.className = "";
      bar.hidden = false;
      try {
        if (file.size > MOST_BYTES) throw new ApiError(`It has more than ${number(MOST_BYTES / 1e6)} MB.`, "take its text out of it, or split it.", 413);
        const found = await upload(`${base}?${query({name: file.name, visibility: who.value})}`, file, {signal: leaving.signal, onProgress: sent => {
          bar.value = file.size ? sent / file.size : 1;
          said.textContent = sent < file.size ? "uploading" : "reading";
        }});
        element.className = "done";
        said.textContent = `Kept: ${found.title}, ${number(found.words)} words${found.replaced ? "; it takes the place of the earlier file of that name" : ""}.`;
        return true;
      } catch (error) {
        if (error.name === "AbortError") return false;
        element.className = "wrong";
        said.textContent = `${error.message} ${error.fix ? `To mend it: ${error.fix}` : ""}`;
        after.replaceChildren(button("Try again", () => { waiting.push({send}); next(); }, {class: "quiet", "aria-label": `Try ${file.name} again`}));
        return false;
      } finally {
        bar.hidden = true;
      }
    };
    return {element, send};
  }

  return h("section", {class: "card", id: "add-files"}, h("header", {}, h("h2", {}, "Add papers and notes")), h("div", {class: "bring"}, zone, list, live));
}
