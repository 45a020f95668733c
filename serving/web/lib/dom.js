// Elements without markup: text is always a text node, so that no foreign text can become code.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "line", "circle", "text", "g", "polyline", "title"]);

/** An element. `on` holds listeners; true and false set and leave out an attribute; null children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "value" || name === "checked") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}

/** A link to another site, or plain text where the address is none that a browser should open. */
export function outside(url, text) {
  if (!/^https?:\/\//i.test(url ?? "")) return h("span", {}, text);
  return h("a", {href: url, target: "_blank", rel: "noopener noreferrer"}, text);
}

export const button = (label, click, attributes = {}) =>
  h("button", {type: "button", on: {click}, ...attributes}, label);

export const select = (label, options, value, change) => {
  const box = h("select", {"aria-label": label, on: {change: () => change?.(box.value)}},
    options.map(([key, text]) => h("option", {value: key}, text)));
  box.value = value ?? options[0]?.[0] ?? "";
  return box;
};

/** What went wrong and what to do, as the API says it. */
export const problem = error => h("div", {class: "problem", role: "alert"},
  h("strong", {}, error.message || "Something went wrong."), error.fix && h("p", {}, `To mend it: ${error.fix}`));

/** A view with nothing in it says what to do next. */
export const empty = (title, next, ...more) => h("div", {class: "empty"}, h("h3", {}, title), h("p", {}, next), ...more);

export const facts = pairs => h("dl", {class: "facts"}, pairs.filter(([, value]) => value != null && value !== "")
  .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** Details whose content is made when they are first opened. */
export function folded(title, content, kind) {
  const box = h("details", {class: kind, on: {toggle: () => {
    if (box.open && box.children.length === 1) box.append(...[content()].flat(Infinity).filter(Boolean));
  }}}, h("summary", {}, title));
  return box;
}

/** A modal dialog; Escape and the button close it, and the focus goes back. */
export function dialog(title, ...content) {
  const box = h("dialog", {"aria-label": title, on: {close: () => box.remove()}},
    h("header", {}, h("h2", {}, title), button("Close", () => box.close(), {class: "quiet"})),
    h("div", {class: "dialog-body"}, ...content));
  box.addEventListener("click", event => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Hand a file to the person, as a download. */
export function saveFile(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", {href: address, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** A short message for eyes and for screen readers. */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  const note = h("div", {class: "toast", role: "status"}, text);
  document.body.append(note);
  setTimeout(() => note.remove(), 4000);
}

const ICONS = {
  sources: ["M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0", "M4 12h16", "M12 4c5 5 5 11 0 16c-5-5-5-11 0-16"],
  write: ["M4 20l1-4L16 5l3 3L8 19z", "M14 7l3 3"],
  library: ["M5 5v14", "M9 5v14", "M13 5l5 13.5"],
  experiments: ["M10 4v6L5 19h14l-5-9V4", "M8.5 4h7", "M7.5 15h9"],
  review: ["M5 12.5l4.5 4.5L19 7"],
  monitoring: ["M4 15l5-6l4 4l7-8", "M4 20h16"],
  up: ["M7 11l4-7c2 0 2.5 1.5 2 3l-.6 3H18c1.5 0 2 1 1.7 2.2l-1.4 6c-.3 1.2-1 1.8-2.2 1.8H7z", "M4 11v9"],
};
ICONS.down = ICONS.up;

export const icon = name => h("svg", {viewBox: "0 0 24 24", class: `icon ${name}`, "aria-hidden": "true"},
  ICONS[name].map(d => h("path", {d})));
