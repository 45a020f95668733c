// The login page, where TWIN_UI_PASSWORD is set.

import {post} from "../lib/api.js";
import {h, problem} from "../lib/dom.js";

export default function login(done) {
  const box = h("input", {type: "password", autocomplete: "current-password", required: true, autofocus: true, name: "password"});
  const said = h("div");
  const submit = async event => {
    event.preventDefault();
    said.replaceChildren();
    try {
      await post("/ui/login", {password: box.value});
      await done();
    } catch (error) {
      said.replaceChildren(problem(error));
      box.select();
    }
  };
  queueMicrotask(() => box.focus());
  return h("main", {class: "alone"},
    h("form", {class: "card", on: {submit}}, h("h1", {}, "LLM Twin"),
      h("label", {class: "field"}, h("span", {}, "Password"), box), h("button", {class: "primary"}, "Log in"), said));
}
