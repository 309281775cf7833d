// The runs that are served: a table of them, and any two to be compared.

import { ask, file, pathOf } from "./api.js";
import { el } from "./dom.js";
import { duration, metricTitle, score } from "./words.js";
import { key } from "./waits.js";

/** Return the view of all runs. */
export async function runsView() {
  const { runs } = await ask("runs");
  const titles = ["Run", "Ends with", "Score [95%]", "Test rows", "Model", "Took", ""];
  const rows = runs.map((run) =>
    el(
      "tr",
      {},
      cellsOf(run).map((cell, index) => el("td", { "data-label": titles[index] }, cell)),
    ),
  );
  const table = el(
    "table",
    { class: "cards" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        titles.map((title) => (title ? el("th", { scope: "col" }, title) : el("td"))),
      ),
    ),
    el("tbody", {}, rows),
  );
  return { element: el("div", {}, el("h1", { tabindex: "-1" }, "Runs"), table, runs.length > 1 && comparison(runs)) };
}

/** Return the link to a run's report. With a key a link cannot carry, the report is saved instead: it stands alone. */
export function reportLink(run) {
  const path = `runs/${pathOf(run.name)}/report`;
  if (key() === null) return el("a", { href: path, target: "_blank", rel: "noopener" }, "Report");
  const save = async () => {
    const link = el("a", {
      href: URL.createObjectURL(await file(path)),
      download: `${run.name.replaceAll("/", "-")}.html`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  return el("button", { type: "button", class: "link", onclick: save }, "Save the report");
}

function cellsOf(run) {
  const { product } = run;
  return [
    el("a", { href: `#/runs/${encodeURIComponent(run.name)}` }, run.name),
    product ? product.title : el("span", { class: "muted" }, "no product"),
    product?.score != null ? `${score(product.score, product.interval)} ${metricTitle(run.metric)}` : "",
    run.rows?.toLocaleString("en") ?? "",
    run.model ?? "",
    run.seconds == null ? "" : duration(run.seconds),
    run.has_report ? reportLink(run) : "",
  ];
}

function comparison(runs) {
  const choice = (id, place) =>
    el(
      "select",
      { id },
      runs.map(({ name }, index) => el("option", { selected: index === place }, name)),
    );
  const [a, b] = [choice("first", 0), choice("second", 1)];
  const go = (event) => {
    event.preventDefault();
    location.hash = `#/compare/${encodeURIComponent(a.value)}/${encodeURIComponent(b.value)}`;
  };
  return el(
    "form",
    { class: "card compare", onsubmit: go },
    el("h2", {}, "Compare two"),
    el("p", { class: "hint" }, "Their specialists on the same test rows, row by row."),
    el("label", { for: "first" }, "From"),
    a,
    el("label", { for: "second" }, "To"),
    b,
    el("button", {}, "Compare"),
  );
}
