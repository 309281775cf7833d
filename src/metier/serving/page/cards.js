// Tables whose rows become cards on a phone, a name and a value a line.

import { el } from "./dom.js";

/**
 * Return a table. A column is `{title, cell(row), kind}`, where a kind is "n" (numbers) or "text" (a text as it is).
 *
 * `classOf(row)` marks a row.
 */
export function cards(columns, rows, { kind = "", classOf = () => null } = {}) {
  const head = columns.map(({ title, kind }) =>
    el(title ? "th" : "td", { scope: title ? "col" : null, class: kind }, title),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      { class: classOf(row) },
      columns.map(({ title, cell, kind }) =>
        el("td", { class: kind, "data-label": title, dir: kind === "text" ? "auto" : null }, cell(row)),
      ),
    ),
  );
  return el("table", { class: `cards ${kind}` }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
}
