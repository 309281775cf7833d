// One run: its verdict, every System's score against its time, and the same as a table.

import { ask, pathOf } from "./api.js";
import { el } from "./dom.js";
import { scatter } from "./plot.js";
import { reportLink } from "./runs.js";
import { milliseconds, score, size } from "./words.js";

/** Return the view of a run. */
export async function runView(name) {
  const [{ runs }, facts] = await Promise.all([ask("runs"), ask(`runs/${pathOf(name)}/facts`)]);
  const run = runs.find((one) => one.name === name);
  const systems = facts.systems.map((system, index) => ({
    ...system,
    number: index + 1,
    isProduct: system.key === run?.product?.system,
  }));
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
  const titles = ["No.", "System", "Score [95%]", "Time a row", "Size", ""];
  const rows = systems.map((system) => {
    const cells = [
      String(system.number),
      system.title,
      score(system.score, system.interval),
      system.milliseconds == null ? "" : milliseconds(system.milliseconds),
      system.bytes == null ? "" : size(system.bytes),
      [system.isProduct && el("span", { class: "tag good" }, "the product"), system.verdict],
    ];
    const marked = { class: system.isProduct ? "ours" : null };
    return el(
      "tr",
      marked,
      cells.map((cell, index) =>
        el("td", { class: [2, 3, 4].includes(index) ? "n" : null, "data-label": titles[index] }, cell),
      ),
    );
  });
  const head = titles.map((title, index) =>
    el(title ? "th" : "td", { scope: title ? "col" : null, class: [2, 3, 4].includes(index) ? "n" : null }, title),
  );
  return el("table", { class: "cards systems" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
}
