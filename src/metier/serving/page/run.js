// One run: its verdict, every System's score against its time, and the same as a table.

import { ask, pathOf } from "./api.js";
import { cards } from "./cards.js";
import { el } from "./dom.js";
import { scatter } from "./plot.js";
import { reportLink } from "./runs.js";
import { milliseconds, score, size } from "./words.js";

/** Return the view of a run. */
export async function runView(name) {
  const [{ runs }, facts] = await Promise.all([ask("runs"), ask(`runs/${pathOf(name)}/facts`)]);
  const run = runs.find((one) => one.name === name);
  const best = facts.systems.toSorted((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity));
  const isProduct = ({ key }) => key === run?.product?.system;
  const systems = best.map((system, index) => ({ ...system, number: index + 1, isProduct: isProduct(system) }));
  const shipped =
    run?.product && el("p", {}, el("b", {}, `Ends with ${run.product.title}`), `, because ${run.product.why}.`);
  const element = el(
    "div",
    {},
    el("p", { class: "crumbs" }, el("a", { href: "#/runs" }, "Runs")),
    el("h1", { tabindex: "-1" }, name),
    facts.verdict && el("p", { class: "lead" }, facts.verdict),
    shipped,
    run?.has_report && el("p", {}, reportLink(run)),
    el("figure", { class: "card" }, el("h2", {}, "Score against time"), scatter(systems)),
    systemsTable(systems),
  );
  return { element };
}

function systemsTable(systems) {
  const product = el("span", { class: "tag good" }, "the product");
  const columns = [
    { title: "No.", cell: ({ number }) => String(number) },
    { title: "System", cell: (system) => [system.title, system.isProduct && [" ", product]] },
    {
      title: "Score [95%]",
      kind: "n",
      cell: (system) => system.score !== null && score(system.score, system.interval),
    },
    {
      title: "Time a row",
      kind: "n",
      cell: (system) => system.milliseconds !== null && milliseconds(system.milliseconds),
    },
    { title: "Size", kind: "n", cell: ({ bytes }) => bytes !== null && size(bytes) },
    { title: "Specialist is", cell: ({ verdict }) => verdict },
  ];
  return cards(columns, systems, { kind: "systems", classOf: ({ isProduct }) => (isProduct ? "ours" : null) });
}
