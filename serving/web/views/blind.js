// Blind reading: two texts without names, and a person says which is the author's, or closer to how they write.

import {get, post, query} from "../lib/api.js";
import {button, h, problem} from "../lib/dom.js";

const KEYS = {ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right"};
const TITLES = {base: "The twin, or its base model with a prompt", author: "The author, or the twin"};

/** The card; texts are fetched when the reader begins. */
export default function blind({persona, start: {personas}, onLeave}, model) {
  const path = `/ui/api/${persona}/blind`, who = personas.find(one => one.name === persona).full_name;
  const place = h("div", {class: "blind"}), said = h("p", {role: "status"}), sums = h("div", {class: "tally"});
  let view = null, answered = null, sending = false, reading = false;
  const card = h("section", {class: "card", "aria-labelledby": "blind-title"}, h("h2", {id: "blind-title"}, "Read blind"), place, said, sums);

  const fail = error => place.replaceChildren(problem(error), button("Try again", load));
  async function load() {
    try {
      view = await get(`${path}?${query({model})}`);
      answered = null;
      draw();
    } catch (error) { fail(error); }
  }

  async function choose(choice) {
    const {pair} = view;
    if (sending || answered || !pair) return;
    sending = true;
    try {
      const answer = await post(path, {model, pair_id: pair.pair_id, token: pair.token, choice});
      // Which text is whose is told for the author's only; of the others a reader would learn to know the twin.
      answered = answer.author ? {...answer, pair, choice} : null;
      view = answer.next;
      said.textContent = answer.says;
      draw();
    } catch (error) {
      if (error.status === 409) await load(); // answered in another tab, or other sides by now
      else fail(error);
    } finally { sending = false; }
  }

  function next() {
    answered = null;
    said.textContent = "";
    draw();
  }

  function draw() {
    const {pair} = view;
    const parts = !reading ? beginning(view, who, () => { reading = true; draw(); })
      : answered ? [...shown(answered.pair, answered.author, null), h("div", {class: "row"}, button(pair ? "Next pair" : "Done", next, {class: "primary"}))]
      : pair ? [...shown(pair, null, choose), h("div", {class: "row"}, button("I know one of these", () => choose("skip"), {class: "quiet"}), h("span", {class: "meta keys"}, "← or 1 for the first, → or 2 for the second"), h("span", {class: "meta"}, `${view.left} left`))]
      : [h("p", {}, view.none)];
    place.replaceChildren(...parts);
    sums.replaceChildren(...tally(view));
    if (reading) (place.querySelector(".primary") ?? place.querySelector("h3"))?.focus();
  }

  const heard = event => {
    const choice = KEYS[event.key], elsewhere = event.target.closest?.("input, textarea, select, dialog, summary, [contenteditable]");
    if (!choice || !reading || answered || elsewhere || event.altKey || event.ctrlKey || event.metaKey || event.repeat || !card.isConnected) return;
    event.preventDefault();
    choose(choice);
  };
  addEventListener("keydown", heard);
  onLeave(() => removeEventListener("keydown", heard));
  load();
  return card;
}

const beginning = (view, who, begin) => [
  h("p", {}, `Two texts on one topic, without names: say which one ${who} wrote, or which is closer to how they write. An answer takes half a minute, and eight can be enough.`),
  view.pair ? h("div", {class: "row"}, button("Start reading", begin), h("span", {class: "meta"}, `${view.left} pairs for you`)) : h("p", {class: "meta"}, view.none),
];

/** Both texts; with `choose` to choose from, else the author's is marked. */
function shown(pair, author, choose) {
  const text = (side, number) => h("section", {class: author === side ? "theirs" : null, "aria-label": `Text ${number}`},
    h("p", {class: "meta"}, author ? author === side ? "Theirs" : "The twin's" : `Text ${number}`),
    h("div", {class: "text"}, pair[side]),
    choose ? button("This one", () => choose(side), {"aria-label": `Text ${number}: this one`}) : null);
  return [
    h("h3", {tabindex: "-1"}, pair.question), h("p", {class: "meta"}, `On: ${pair.topic}`),
    h("div", {class: "side-by-side"}, text("left", 1), text("right", 2)),
  ];
}

/** What the answers say until now, of this reader and of all together. */
function tally(view) {
  const begun = view.you.filter(told => told.answers), all = view.all.filter(told => told.answers);
  return [
    ...begun.map(told => h("p", {}, h("strong", {}, `${TITLES[told.kind]}: `), told.says)),
    all.length ? h("p", {class: "meta"}, "All readers together:") : null,
    ...all.map(told => h("p", {class: "meta"}, `${TITLES[told.kind]}: ${told.says}`)),
    view.gate ? h("p", {class: "meta"}, view.gate) : null,
  ].filter(Boolean);
}
