// One text and the labels of a product: a bar for every label, the threshold, and when to ask a person.

import { ask } from "./api.js";
import { correction } from "./correct.js";
import { el, put } from "./dom.js";
import { textField } from "./field.js";
import { limit, percent } from "./words.js";
import { work } from "./work.js";

/** Return the view, and what the keys start and stop in it. */
export function classifyView(product, settings) {
  const { field, read } = textField({ label: "Text", name: `text:${product.id}`, example: product.metier.example });
  const output = el("section", { class: "card result", "aria-label": "Result" }, waiting());
  const job = async (signal) => {
    const text = read();
    const { data } = await ask("classify", { body: { model: product.id, input: text }, signal });
    const answer = { ...data[0], input: text };
    put(
      output,
      headline(answer, product),
      bars(answer, product),
      settings.feedback && correction(product, text, answer.label),
    );
    return saidOf(answer);
  };
  const { bar, start, stop } = work({ label: "Classify", output, job });
  const element = el("div", { class: "bench" }, el("div", {}, field, bar), output);
  return { element, start, stop };
}

function waiting() {
  return el("p", { class: "muted" }, "The probability of every label appears here.");
}

function headline(answer, product) {
  const share = answer.probs?.length ? Math.max(...answer.probs) : null;
  if (!answer.abstained) {
    const sure = share !== null && el("span", { class: "share" }, percent(share));
    return el("p", { class: "answer" }, el("strong", {}, answer.label), sure);
  }
  return el(
    "div",
    {},
    el("p", { class: "answer ask" }, el("strong", {}, "Ask a person")),
    el("p", {}, whyNot(answer, share, product)),
  );
}

function whyNot({ label }, share, { metier }) {
  if (!label) return "The text does not fit the model's context.";
  if (metier.threshold > 1)
    return `${label} is the most probable label, but at no probability was this product shown to be right often enough.`;
  return `${label} is the most probable label, but ${percent(share)} is below ${limit(metier.threshold)}, from which on this product answers.`;
}

function bars(answer, product) {
  const { labels, threshold } = product.metier;
  if (!answer.probs?.length) return el("p", { class: "muted" }, "This product gives no probabilities.");
  const rows = labels.map((label, index) => ({ label, share: answer.probs[index] })).sort((a, b) => b.share - a.share);
  const list = el(
    "ul",
    { class: "bars" },
    rows.map((row) => barOf(row, row.label === answer.label && !answer.abstained)),
  );
  if (threshold === null || threshold > 1) return list;
  list.classList.add("limited");
  list.style.setProperty("--threshold", threshold);
  const legend = el("p", { class: "legend" }, el("i", { class: "limit" }), `Below ${limit(threshold)}: ask a person`);
  return [list, legend];
}

function barOf({ label, share }, chosen) {
  const fill = el("span", { class: "fill" });
  fill.style.setProperty("--share", share);
  return el(
    "li",
    { class: chosen ? "top" : null },
    el("span", { class: "name" }, label),
    el("span", { class: "track", "aria-hidden": "true" }, fill),
    el("span", { class: "number" }, percent(share)),
  );
}

function saidOf(answer) {
  if (answer.abstained) return "Ask a person";
  return answer.probs?.length ? `${answer.label}, ${percent(Math.max(...answer.probs))}` : answer.label;
}
