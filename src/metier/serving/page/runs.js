// The runs that are served: a table of them, and any two to be compared.

import { ask, file, pathOf } from "./api.js";
import { cards } from "./cards.js";
import { comparedRuns } from "./compare.js";
import { el, put, saveAs } from "./dom.js";
import { duration, score } from "./words.js";
import { key } from "./waits.js";

const COLUMNS = [
  { title: "Run", cell: nameOf },
  { title: "Ends with", cell: ({ product }) => product?.title },
  { title: "Score [95%]", cell: scoreOf },
  { title: "Test rows", cell: ({ rows }) => rows?.toLocaleString("en") },
  { title: "Model", cell: ({ model }) => model },
  { title: "Took", cell: ({ seconds }) => seconds !== null && duration(seconds) },
  { title: "", cell: (run) => run.has_report && reportLink(run) },
];

/** Return the view of all runs. */
export async function runsView() {
  const { runs } = await ask("runs");
  const table = cards(COLUMNS, runs);
  return { element: el("div", {}, el("h1", { tabindex: "-1" }, "Runs"), table, runs.length > 1 && comparison(runs)) };
}

/** Return the link to a run's report. With a key a link cannot carry, the report is saved instead: it stands alone. */
export function reportLink(run) {
  const path = `runs/${pathOf(run.name)}/report`;
  if (key() === null) return el("a", { href: path, target: "_blank", rel: "noopener" }, "Report");
  const save = async () => saveAs(await file(path), `${run.name.replaceAll("/", "-")}.html`);
  return el("button", { type: "button", class: "link", onclick: save }, "Save the report");
}

function nameOf({ name, metric }) {
  return metric === null ? name : el("a", { href: `#/runs/${encodeURIComponent(name)}` }, name);
}

function scoreOf({ product, metric }) {
  if (product === null || product.score === null) return null;
  return [score(product.score, product.interval), metric && ` ${metric}`];
}

function comparison(runs) {
  const choice = (id, place) =>
    el(
      "select",
      { id },
      runs.map(({ name }, index) => el("option", { selected: index === place }, name)),
    );
  const [a, b] = [choice("first", 0), choice("second", 1)];
  const problem = el("p", { class: "problem", role: "alert" });
  const go = async (event) => {
    event.preventDefault();
    put(problem);
    try {
      await comparedRuns(a.value, b.value);
      location.hash = `#/compare/${encodeURIComponent(a.value)}/${encodeURIComponent(b.value)}`;
    } catch (error) {
      put(problem, error.message); // nothing to compare: said where the two are chosen
    }
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
    problem,
  );
}
