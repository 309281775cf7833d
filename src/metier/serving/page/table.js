// A table whose rows a product answers: it comes in, is answered, and gives way to another one.

import { intake } from "./intake.js";
import { el, put } from "./dom.js";
import { keep, recall } from "./session.js";
import { sheetOf } from "./sheet.js";
import { sheetView } from "./sheetview.js";
import { readText } from "./textfile.js";

/** Return the view, and what the keys start and stop in it. */
export function tableView(product) {
  const names = { table: `table:${product.id}`, answers: `answers:${product.id}` };
  const problem = el("p", { class: "problem", role: "alert" });
  const content = el("div", {});
  let sheet = null;
  let view = null; // of the sheet

  function open(name, text, kept = null) {
    try {
      show(sheetOf(name, text, kept));
      const fits = keep(names.table, { name, text });
      put(problem, !fits && "This table is too large to survive a reload of the page.");
    } catch (error) {
      put(problem, error.message);
    }
  }

  async function take(file) {
    try {
      open(file.name, await readText(file));
    } catch (error) {
      put(problem, error.message);
    }
  }

  function close() {
    show(null);
    for (const name of Object.values(names)) keep(name, null);
    put(problem);
  }

  function show(next) {
    view?.stop();
    sheet = next;
    view = null;
    if (!next)
      return put(
        content,
        intake(take, (text) => open("pasted rows", text)),
      );
    const keepAnswers = () => {
      const { header, column, answers } = next;
      if (sheet === next) keep(names.answers, { header, column, answers });
    };
    const change = (changes) => show({ ...next, ...changes, answers: [] });
    view = sheetView(product, next, { keepAnswers, change, close });
    keepAnswers();
    put(content, view.element);
  }

  const kept = recall(names.table);
  if (kept) open(kept.name, kept.text, recall(names.answers));
  else show(null);
  const element = el("div", { class: "table-view" }, problem, content);
  return { element, start: () => view?.start(), stop: () => view?.stop() };
}
