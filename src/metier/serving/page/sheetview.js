// One table: which column is asked, the answers as they come, how long it will take, and the file with all of them.

import { answerAll } from "./answering.js";
import { format } from "./csv.js";
import { el, put, saveAs } from "./dom.js";
import { answerRows } from "./rows.js";
import { inputsOf, outName, summary, titlesOf, withAnswers } from "./sheet.js";
import { count, duration } from "./words.js";
import { work } from "./work.js";

const KEPT_EVERY = 1000; // milliseconds

/**
 * Return the view of a sheet.
 *
 * `keepAnswers()` keeps the answers for a reload, `change(changes)` shows the sheet with other settings, and `close()`
 * makes room for another one.
 */
export function sheetView(product, sheet, { keepAnswers, change, close }) {
  const texts = inputsOf(sheet);
  const rows = answerRows(product, texts, sheet.answers, download);
  const progress = el("progress", { "aria-label": "Rows answered", max: texts.length });
  const told = el("span", { class: "muted" });
  const output = el("section", { "aria-label": "Rows and answers" }, rows.element);
  const { bar, start, stop, rename } = work({ label: "Answer the rows", output, job, extra: [progress, told] });

  function open() {
    return [...texts.keys()].filter((index) => !sheet.answers[index] && texts[index].trim());
  }

  async function job(signal) {
    const wanted = open();
    const began = performance.now();
    let rest = wanted.length;
    const answered = (index, answer) => {
      sheet.answers[index] = answer;
      rows.update(index);
      const each = (performance.now() - began) / (wanted.length - --rest);
      show(rest, `, about ${duration((each * rest) / 1000)} left`);
    };
    show(rest);
    const keeping = setInterval(keepAnswers, KEPT_EVERY);
    try {
      await answerAll(product, texts, wanted, answered, signal);
    } finally {
      clearInterval(keeping);
      keepAnswers();
      show(open().length);
    }
    return told.textContent;
  }

  /** Show how far it has come; `more` is said behind that. */
  function show(openRows, more = " answered") {
    const done = texts.length - openRows;
    const begun = sheet.answers.some(Boolean);
    progress.value = done;
    progress.hidden = openRows === 0 || !begun;
    if (openRows === 0) put(told, summary(sheet.answers, texts));
    else put(told, begun && `${done.toLocaleString("en")} of ${count(texts.length, "row")}${more}`);
    rename(begun && openRows ? "Continue" : "Answer the rows");
    rows.enable();
  }

  function download(guarded) {
    // The mark at the beginning tells spreadsheets that it is UTF-8.
    const text = `\ufeff${format(withAnswers(sheet), sheet.delimiter, guarded)}`;
    saveAs(new Blob([text], { type: "text/csv" }), outName(sheet));
  }

  show(open().length);
  return { element: el("div", {}, chosen(sheet, change, close), bar, output), start, stop };
}

/** Return the line that says which table it is, and which column is asked. */
function chosen(sheet, change, close) {
  const titles = titlesOf(sheet);
  const columns = titles.map((title, index) => el("option", { value: index, selected: index === sheet.column }, title));
  const column = el("select", { onchange: () => change({ column: Number(column.value) }) }, columns);
  const header = el("input", {
    type: "checkbox",
    checked: sheet.header,
    onchange: () => change({ header: header.checked }),
  });
  const size = `${count(inputsOf(sheet).length, "row")}, ${count(titles.length, "column")}`;
  return el(
    "div",
    { class: "chosen" },
    el(
      "p",
      {},
      el("b", {}, sheet.name),
      ` ${size} `,
      el("button", { type: "button", class: "link", onclick: close }, "Another table"),
    ),
    el("label", { class: "option" }, "Input column", column),
    el("label", { class: "option" }, header, "The first row has the names of the columns"),
  );
}
