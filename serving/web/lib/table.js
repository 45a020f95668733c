// A table that turns into a list of cards on a narrow screen.

import {h} from "./dom.js";

/** `columns` are [heading, row => cell, class?]; each cell repeats its heading for narrow screens. */
export const table = (caption, columns, rows) => h("table", {},
  h("caption", {class: "hidden"}, caption),
  h("thead", {}, h("tr", {}, columns.map(([heading, , kind]) => h("th", {scope: "col", class: kind}, heading)))),
  h("tbody", {}, rows.map(row => h("tr", {},
    columns.map(([heading, cell, kind]) => h("td", {"data-label": heading, class: kind}, cell(row)))))));
