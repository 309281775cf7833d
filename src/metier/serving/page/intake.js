// Where a table comes in: a file that is dropped or chosen, or rows that are pasted.

import { el } from "./dom.js";

/** Return the part of the page; `take` is called with a file, `paste` with a text. */
export function intake(take, paste) {
  const picker = el("input", { type: "file", id: "file", accept: ".csv,.tsv,.txt,text/csv", class: "unseen" });
  picker.addEventListener("change", () => picker.files.length && take(picker.files[0]));
  const area = el("textarea", { id: "rows", rows: 4, "data-start": true });
  const zone = el(
    "div",
    { class: "card drop" },
    el(
      "p",
      {},
      el("b", {}, "Drop a CSV or TSV file here"),
      ", or ",
      picker,
      el("label", { for: "file", class: "button" }, "choose one"),
    ),
    el("label", { for: "rows" }, "Or paste rows"),
    area,
    el("p", { class: "hint" }, "Cells of a spreadsheet, or lines of CSV."),
    el("p", { class: "buttons" }, el("button", { type: "button", onclick: () => paste(area.value) }, "Use these rows")),
  );
  const over = (event) => {
    event.preventDefault();
    zone.classList.toggle("over", event.type === "dragover");
  };
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", over);
  zone.addEventListener("drop", (event) => {
    over(event);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  return zone;
}
