// Two runs side by side: what `metier compare` says of them.

import { ask } from "./api.js";
import { cards } from "./cards.js";
import { el } from "./dom.js";
import { count, ends, points, shorten } from "./words.js";

const LETTERS = 400;

/** Return what the server says of two runs; refused where they have not the same test rows. */
export function comparedRuns(first, second) {
  return ask(`compare?${new URLSearchParams({ a: first, b: second })}`);
}

/** Return the view of two runs. */
export async function compareView(first, second) {
  const compared = await comparedRuns(first, second);
  const element = el(
    "div",
    {},
    el("p", { class: "crumbs" }, el("a", { href: "#/runs" }, "Runs")),
    el("h1", { tabindex: "-1" }, `${first} and ${second}`),
    compared.pairings.map(pairing),
    compared.sentences.map((sentence) => el("p", {}, sentence)),
    compared.pairings.map(differing),
  );
  return { element };
}

function pairing({ first, second, rows, gain, p_value, wins, ties, losses }) {
  const p = p_value === null ? "" : `, p\u00a0${p_value < 0.001 ? "<\u00a00.001" : `=\u00a0${p_value.toFixed(3)}`}`;
  const by = gain
    ? `${points(gain.value, true)} points, 95% interval ${ends([gain.low, gain.high], true)}${p}`
    : "with one row there is no interval";
  const bar = el("div", { class: "outcome", "aria-hidden": "true" });
  for (const [kind, amount] of Object.entries({ wins, ties, losses })) {
    const part = el("span", { class: kind });
    part.style.flexGrow = amount;
    bar.append(part);
  }
  return el(
    "div",
    { class: "card" },
    el("p", { class: "lead" }, `${second} over ${first}: ${by}.`),
    bar,
    el(
      "p",
      {},
      `Of ${count(rows, "test row")}, ${second} is better on ${wins}, as good on ${ties}, and worse on ${losses}.`,
    ),
  );
}

function differing({ first, second, differing: rows }) {
  if (!rows.length) return el("p", { class: "muted" }, "Both give answers of the same score to every row.");
  const columns = [
    { title: "Input", kind: "text", cell: (row) => shorten(row.input, LETTERS) },
    { title: "Right answer", kind: "text", cell: (row) => shorten(row.reference, LETTERS) },
    { title: first, kind: "text", cell: (row) => shorten(row.first, LETTERS) },
    { title: second, kind: "text", cell: (row) => shorten(row.second, LETTERS) },
  ];
  return [el("h2", {}, "Where they differ most"), cards(columns, rows, { kind: "stacked" })];
}
