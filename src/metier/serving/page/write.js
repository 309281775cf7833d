// One text and the answer that a product writes to it, shown as it comes.

import { write } from "./api.js";
import { correction } from "./correct.js";
import { copy, el, put } from "./dom.js";
import { textField } from "./field.js";
import { work } from "./work.js";

/** Return the view, and what the keys start and stop in it. */
export function writeView(product, settings) {
  const { field, read } = textField({ label: "Text", name: `text:${product.id}`, example: product.metier.example });
  const answer = el(
    "p",
    { class: "document" },
    el("span", { class: "muted" }, "The answer appears here as it is written."),
  );
  const copying = el(
    "button",
    { type: "button", hidden: true, onclick: () => copy(answer.textContent, copying) },
    "Copy",
  );
  const after = el("div", {});
  const output = el(
    "section",
    { class: "card result stream", "aria-label": "Answer" },
    answer,
    el("p", { class: "buttons" }, copying),
    after,
  );

  async function job(signal) {
    const text = read();
    put(answer);
    put(after);
    copying.hidden = true;
    try {
      for await (const piece of write(product.id, text, signal)) answer.append(piece);
    } finally {
      answer.normalize();
      copying.hidden = answer.textContent === "";
    }
    if (answer.textContent === "") put(answer, el("span", { class: "muted" }, "The answer is empty."));
    if (settings.feedback && !product.isBase) put(after, correction(product, text, answer.textContent));
    return answer.textContent;
  }

  const { bar, start, stop } = work({ label: "Run", output, job });
  const element = el("div", { class: "bench" }, el("div", {}, field, bar), output);
  return { element, start, stop };
}
