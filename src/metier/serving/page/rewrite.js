// A whole text, rewritten piece by piece: reviewed change by change, or taken as it is.

import { rewrite } from "./api.js";
import { allMade, partsOf } from "./changes.js";
import { copy, el, put } from "./dom.js";
import { textField } from "./field.js";
import { review } from "./review.js";
import { keep, recall } from "./session.js";
import { count } from "./words.js";
import { work } from "./work.js";

/** Return the view, and what the keys start and stop in it. */
export function rewriteView(product) {
  const kept = `rewritten:${product.id}`;
  const { field, read } = textField({
    label: "Text or Markdown",
    name: `draft:${product.id}`,
    example: product.metier.example,
    rows: 14,
  });
  const by = el("select", { "aria-label": "What is rewritten at once" }, ["sentence", "paragraph"].map(choice));
  const reviewing = el("input", { type: "checkbox", checked: recall("review") ?? true, onchange: show });
  const output = el("section", { class: "card result", "aria-label": "Rewritten text" });
  let found = recall(kept); // {parts, made}: the last rewriting, and what was decided about it

  async function job(signal) {
    const text = read();
    const pieces = [];
    const bar = el("progress", { value: 0, "aria-label": "Rewritten" });
    const soFar = el("p", { class: "document" });
    put(output, bar, soFar);
    try {
      for await (const { of, piece } of rewrite(product.id, text, by.value, signal)) {
        pieces.push(piece);
        soFar.append(piece.after);
        bar.max = of;
        bar.value = pieces.length;
      }
    } finally {
      if (pieces.length) {
        // Where it was stopped, the rest stays as it was.
        const rest = text.slice(pieces.map(({ before }) => before).join("").length);
        found = { parts: partsOf([...pieces, { changed: false, after: rest }]), made: {} };
        keep(kept, found);
      }
      show();
    }
    return count(changesIn(found.parts), "change");
  }

  function decided(made) {
    found = { ...found, made };
    keep(kept, found);
  }

  function show() {
    keep("review", reviewing.checked);
    if (!found) put(output, el("p", { class: "muted" }, "The rewritten text appears here, with every change marked."));
    else if (reviewing.checked) put(output, review(found.parts, found.made, decided));
    else put(output, result(found.parts));
  }

  const options = [
    el("label", { class: "option" }, "by ", by),
    el("label", { class: "option" }, reviewing, "Review the changes"),
  ];
  const { bar, start, stop } = work({ label: "Rewrite", output, job, extra: options });
  show();
  return { element: el("div", { class: "bench" }, el("div", {}, field, bar), output), start, stop };
}

/** Return the text with every change made. */
function result(parts) {
  const text = allMade(parts);
  const button = el("button", { type: "button", onclick: () => copy(text, button) }, "Copy");
  return [el("p", { class: "document" }, text), el("p", { class: "buttons" }, button)];
}

function changesIn(parts) {
  return parts.filter((part) => "gone" in part).length;
}

function choice(name) {
  return el("option", { value: name }, name);
}
