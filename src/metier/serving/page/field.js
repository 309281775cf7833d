// The field in which a text is typed or pasted: it survives a reload, and can be filled with the product's example.

import { el } from "./dom.js";
import { keep, recall } from "./session.js";

/**
 * Return a labelled text field, and a function that returns its text; it throws where there is none.
 *
 * `name` is what the text is kept under, `example` what the button beside the label fills in.
 */
export function textField({ label, name, example, rows = 7 }) {
  const id = `field-${name}`;
  const note = el("p", { class: "hint" });
  const area = el("textarea", { id, rows, spellcheck: "false", "data-start": true, oninput: changed });
  area.value = recall(name) ?? "";

  function changed() {
    const kept = keep(name, area.value || null);
    note.textContent = kept ? "" : "This text is too long to survive a reload of the page.";
  }

  function read() {
    if (area.value.trim()) return area.value;
    area.focus();
    throw new Error("There is no text yet.");
  }

  function useExample() {
    area.value = example;
    changed();
    area.focus();
  }

  const fill = example && el("button", { type: "button", class: "link", onclick: useExample }, "Use an example");
  const field = el(
    "div",
    { class: "field" },
    el("div", { class: "label" }, el("label", { for: id }, label), fill),
    area,
    note,
  );
  return { field, read };
}
