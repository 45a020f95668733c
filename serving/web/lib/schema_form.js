// Form fields from a JSON schema, so that a field that the API gains appears here by itself.

import {h} from "./dom.js";
import {name} from "./format.js";

/** The schema itself: references followed, and `null` alternatives left out. */
export function resolved(schema, defs) {
  let found = schema;
  if (found.$ref) found = {...defs[found.$ref.split("/").pop()], ...found};
  const real = (found.anyOf ?? found.allOf ?? []).filter(one => one.type !== "null");
  return real.length ? {...resolved(real[0], defs), ...found, optional: true} : found;
}

const control = {
  choice: (schema, value) => {
    const box = h("select", {}, schema.optional ? h("option", {value: ""}, "as it comes") : null,
      schema.enum.map(one => h("option", {value: one}, typeof one === "string" ? name(one) : String(one))));
    box.value = value ?? schema.default ?? (schema.optional ? "" : schema.enum[0]);
    return [box, () => box.value || undefined];
  },
  boolean: (schema, value) => {
    const box = h("input", {type: "checkbox", checked: value ?? schema.default ?? false});
    return [box, () => box.checked];
  },
  number: (schema, value) => {
    const box = h("input", {
      type: "number", min: schema.minimum, max: schema.maximum, step: schema.type === "integer" ? 1 : "any", value: value ?? schema.default ?? "",
    });
    return [box, () => box.value === "" ? undefined : Number(box.value)];
  },
  list: (schema, value) => {
    const box = h("textarea", {rows: 2, placeholder: "one a line", value: (value ?? []).join("\n")});
    return [box, () => box.value.split("\n").map(line => line.trim()).filter(Boolean)];
  },
  text: (schema, value) => {
    const long = (schema.maxLength ?? 0) > 300, link = schema.pattern?.includes("https?");
    const box = h(long ? "textarea" : "input", {
      rows: long ? 3 : null, maxlength: schema.maxLength, placeholder: link ? "https://" : null, inputmode: link ? "url" : null,
      autocapitalize: link ? "off" : null, value: value ?? schema.default ?? "",
    });
    return [box, () => box.value.trim() || undefined];
  },
};

function kindOf(schema) {
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "boolean";
  if (schema.type === "number" || schema.type === "integer") return "number";
  return schema.type === "array" ? "list" : "text";
}

let described = 0;

/** One labelled field: {element, read}. `read` gives undefined for what is left empty. */
export function field(key, schema, value, defs, fixed = false) {
  const meaning = resolved(schema, defs), label = name(key);
  if (meaning.properties) {
    const inner = fields(meaning, value ?? {}, defs);
    return {element: h("fieldset", {}, h("legend", {}, label), inner.element), read: inner.read};
  }
  const [box, read] = control[kindOf(meaning)](meaning, value);
  if (fixed) box.disabled = true;
  const help = [meaning.description, fixed ? "Set in the YAML file only." : ""].filter(Boolean).join(" ");
  const about = help ? h("small", {id: `about-${++described}`}, help) : null;
  if (about) box.setAttribute("aria-describedby", about.id);
  return {element: h("div", {class: `field kind-${kindOf(meaning)}`}, h("label", {}, h("span", {}, label), box), about), read};
}

/** All fields of an object schema; `skip` and `fixed` name fields. `read` gives an object of what is set. */
export function fields(schema, values, defs, {skip = [], fixed = []} = {}) {
  const made = Object.entries(schema.properties).filter(([key]) => !skip.includes(key))
    .filter(([key]) => !fixed.includes(key) || (values[key] != null && values[key].length !== 0))
    .map(([key, one]) => [key, field(key, one, values[key], defs, fixed.includes(key))]);
  return {
    element: h("div", {class: "fields"}, made.map(([, one]) => one.element)),
    read: () => Object.fromEntries(made.map(([key, one]) => [key, one.read()]).filter(([, value]) => value !== undefined)),
  };
}
