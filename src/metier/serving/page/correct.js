// The form in which a person says what the right answer would have been.

import { ask } from "./api.js";
import { el, put } from "./dom.js";

/** Return the form for an answer that a product gave to a text. */
export function correction(product, input, answer) {
  const labels = product.metier.labels;
  const field = labels
    ? el(
        "select",
        { id: "right" },
        labels.map((label) => el("option", { selected: label === answer }, label)),
      )
    : el("textarea", { id: "right", rows: 4 }, answer);
  const told = el("p", { class: "hint", role: "status" });
  const send = el("button", {}, "Send the correction");

  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    try {
      await ask("feedback", { body: { model: product.id, input, answer, correction: field.value } });
      put(told, "Kept beside the run. Thank you.");
    } catch (error) {
      put(told, error.message);
    } finally {
      send.disabled = false;
    }
  }

  return el(
    "details",
    { class: "correct" },
    el("summary", {}, "Correct this answer"),
    el("form", { onsubmit: submit }, el("label", { for: "right" }, "The right answer"), field, send, told),
  );
}
