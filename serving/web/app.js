// The frame: who is asked for, which view is shown, and the keys that work everywhere.

import {get, post} from "./lib/api.js";
import {empty, h, icon, problem, select} from "./lib/dom.js";
import {capital, shortModel} from "./lib/format.js";
import experiments from "./views/experiments.js";
import library from "./views/library.js";
import login from "./views/login.js";
import monitoring from "./views/monitoring.js";
import review from "./views/review.js";
import sources from "./views/sources.js";
import write from "./views/write.js";

const VIEWS = {sources, write, library, experiments, review, monitoring};
const app = document.getElementById("app");
const state = {start: null, session: null, persona: null, kept: new Map()};
let leave = () => {};

const route = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);

function frame(active) {
  const people = state.start.personas, chosen = people.find(one => one.name === state.persona);
  const pick = select("Persona", people.map(one => [one.name, one.paused ? `${one.full_name} (paused)` : one.full_name]), state.persona, persona => {
    state.persona = persona;
    localStorage.setItem("persona", persona);
    if (route()[1] === "chat") location.hash = "#/write";  // a conversation is one persona's
    else show();
  });
  const links = Object.keys(VIEWS).map(name => h("a", {
    href: `#/${name}`, "aria-current": name === active ? "page" : null,
  }, icon(name), h("span", {}, capital(name))));
  const model = h("p", {id: "model", class: "meta", title: chosen?.model ?? ""}, chosen?.model ?? "nothing in production yet");
  const out = state.session.needed ? h("button", {type: "button", class: "quiet", on: {click: logOut}}, "Log out") : null;
  const main = h("main", {id: "main", tabindex: "-1"});
  app.replaceChildren(
    h("header", {class: "top"}, h("a", {href: "#/write", class: "brand"}, "LLM Twin"), people.length ? pick : null, model, out),
    h("nav", {"aria-label": "Views"}, links), main);
  return main;
}

async function logOut() {
  await post("/ui/logout");
  location.reload();
}

/** Load what every view needs; shows the login instead where one is needed. */
async function load() {
  state.session = await get("/ui/session");
  if (!state.session.open) return false;
  state.start = await get("/ui/api/start");
  const names = state.start.personas.map(one => one.name);
  const wanted = state.persona ?? localStorage.getItem("persona");
  state.persona = names.includes(wanted) ? wanted : names[0] ?? null;
  return true;
}

async function reload() {
  if (await load()) await show();
}

async function show() {
  leave();
  leave = () => {};
  const [asked = "write", ...rest] = route();
  const name = asked in VIEWS ? asked : "write";
  const main = frame(name), persona = state.persona;
  document.title = `${capital(name)} – LLM Twin`;
  if (!persona && name !== "sources") {
    main.append(empty("There is nobody here yet", "Add a person and where they write, and their twin can be made.",
      h("a", {class: "button", href: "#/sources/new"}, "Add a person")));
    return;
  }
  main.setAttribute("aria-busy", "true");
  try {
    const view = await VIEWS[name]({
      persona, rest, start: state.start, kept: state.kept, reload, shortModel,
      go: (...parts) => { location.hash = `#/${parts.map(encodeURIComponent).join("/")}`; },
      choose: chosen => { state.persona = chosen; localStorage.setItem("persona", chosen); },
      onLeave: action => { const before = leave; leave = () => { before(); action(); }; },
    });
    if (main.isConnected) main.replaceChildren(...[view].flat());
  } catch (error) {
    main.replaceChildren(h("h1", {}, capital(name)), problem(error));
  }
  main.removeAttribute("aria-busy");
}

const typing = target => target.closest("input, textarea, select, [contenteditable]");

addEventListener("keydown", event => {
  if (event.key === "/" && !typing(event.target)) {
    const box = document.querySelector("[data-focus]");
    if (box) { event.preventDefault(); box.focus(); }
  }
});
addEventListener("hashchange", async () => { await show(); document.getElementById("main")?.focus({preventScroll: true}); scrollTo(0, 0); });
addEventListener("login-needed", () => { leave(); app.replaceChildren(login(begin)); });

async function begin() {
  try {
    if (await load()) await show();
    else app.replaceChildren(login(begin));
  } catch (error) {
    app.replaceChildren(h("main", {class: "alone"}, h("h1", {}, "LLM Twin"), problem(error)));
  }
}

begin();
