// The conversations that the caller keeps with a persona: a list beside the one that is open, and what can be done with that.

import {get, patch, query, remove} from "../lib/api.js";
import {button, dialog, h, problem, toast} from "../lib/dom.js";
import {day, number} from "../lib/format.js";

const PAGE = 20;
const WIDE = "(min-width: 761px)";

/**
 * The list, as {element, refresh}. `open` says which page of a talk stands beside it; `begin` opens a new talk, `again` reads the
 * open one anew, `gone` is called when it was deleted.
 */
export function threadList({persona, open, begin, again, gone}) {
  let found = [], next = null;
  const list = h("ul", {"aria-label": "Kept conversations"}), more = h("div"), trouble = h("div");
  const count = h("span", {class: "meta"});
  const element = h("aside", {class: "threads", "aria-label": "Conversations"},
    h("details", {open: matchMedia(WIDE).matches}, h("summary", {}, "Conversations ", count), button("New conversation", begin), trouble, list, more));
  const of = (id, what = "") => `/v1/threads/${encodeURIComponent(id)}${what}?`;

  async function read(before) {
    try {
      const page = await get(`/v1/threads?${query({persona, limit: PAGE, before})}`);
      found = before ? [...found, ...page.threads] : page.threads;
      next = page.next;
      trouble.replaceChildren();
    } catch (error) {
      trouble.replaceChildren(problem(error));
    }
    draw();
  }

  function draw() {
    count.textContent = found.length ? `${number(found.length)}${next ? "+" : ""}` : "";
    list.replaceChildren(...found.map(one => {
      const current = one.id === open().id;
      return h("li", {},
        h("a", {href: `#/write/chat/${encodeURIComponent(one.id)}`, "aria-current": current ? "true" : null, title: one.title},
          h("span", {}, one.title), h("small", {class: "meta"}, `${day(one.updated_at)} · ${number(one.turns)} ${one.turns === 1 ? "turn" : "turns"}`)),
        current ? tools(one) : null);
    }));
    more.replaceChildren(next ? button("Older", () => read(next), {class: "quiet"}) : "");
  }

  function tools(one) {
    const file = (format, label) => h("a", {class: "button quiet", download: true, href: `${of(one.id, "/export")}${query({persona, format})}`}, `Export ${label}`);
    return [
      one.turns > open().seen ? h("p", {class: "meta", role: "note"}, "It went on in another tab. ", button("Show it", again)) : null,
      h("div", {class: "tools"}, button("Rename", () => rename(one), {class: "quiet"}), file("markdown", "Markdown"), file("json", "JSON"), button("Delete", () => erase(one), {class: "quiet danger"})),
    ];
  }

  function rename(one) {
    const title = h("input", {"aria-label": "Title", maxlength: 200, required: true, value: one.title});
    const told = h("div");
    const submit = async event => {
      event.preventDefault();
      try {
        await patch(of(one.id) + query({persona}), {title: title.value});
        box.close();
        await read();
      } catch (error) {
        told.replaceChildren(problem(error));
      }
    };
    const box = dialog("Rename the conversation", h("form", {on: {submit}}, title, h("div", {class: "row"}, h("button", {class: "primary"}, "Rename")), told));
    title.select();
  }

  function erase(one) {
    const told = h("div");
    const gladly = async () => {
      try {
        await remove(of(one.id) + query({persona}));
        box.close();
        toast("Deleted.");
        gone(one.id);
      } catch (error) {
        told.replaceChildren(problem(error));
      }
    };
    const box = dialog("Delete the conversation",
      h("p", {}, "“", one.title, `” with its ${number(one.turns)} ${one.turns === 1 ? "turn" : "turns"} goes for good. The service's request log has rows of its own.`),
      h("div", {class: "row"}, button("Delete for good", gladly, {class: "danger"})), told);
  }

  return {element, refresh: () => read()};
}
