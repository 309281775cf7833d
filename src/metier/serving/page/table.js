// A table whose rows a product answers: dropped, chosen or pasted, answered in chunks, and given back as a file.

import { answerAll } from "./answering.js";
import { format, parse } from "./csv.js";
import { el, put } from "./dom.js";
import { intake } from "./intake.js";
import { answerRows } from "./rows.js";
import { keep, recall } from "./session.js";
import { inputsOf, likelyInput, outName, summary, titlesOf, withAnswers } from "./sheet.js";
import { readText } from "./textfile.js";
import { count, duration } from "./words.js";
import { work } from "./work.js";

/** Return the view, and what the keys start and stop in it. */
export function tableView(product) {
  const names = { table: `table:${product.id}`, answers: `answers:${product.id}` };
  const output = el("section", { "aria-label": "Rows and answers" });
  const progress = el("progress", { "aria-label": "Rows answered", hidden: true });
  const left = el("span", { class: "muted" });
  const { bar, start, stop, rename } = work({ label: "Answer the rows", output, job, extra: [progress, left] });
  const problem = el("p", { class: "problem", role: "alert" });
  const content = el("div", {});
  const element = el("div", { class: "table-view" }, problem, content);
  let table = null;
  let shown = null;

  function open(name, text, kept = null) {
    const { rows, delimiter } = parse(text);
    if (!rows.length) return put(problem, "There are no rows in it.");
    stop();
    const header = kept?.header ?? true;
    table = {
      name,
      rows,
      delimiter,
      header,
      column: kept?.column ?? likelyInput(rows, header),
      answers: kept?.answers ?? [],
    };
    const fits = keep(names.table, { name, text });
    show();
    put(problem, !fits && "This table is too large to survive a reload of the page.");
  }

  function close() {
    stop();
    table = null;
    for (const name of Object.values(names)) keep(name, null);
    put(problem);
    show();
  }

  function change(changes) {
    stop();
    table = { ...table, ...changes, answers: [] };
    keepAnswers();
    show();
  }

  function keepAnswers() {
    const { header, column, answers } = table;
    keep(names.answers, { header, column, answers });
  }

  async function take(file) {
    try {
      open(file.name, await readText(file));
    } catch (error) {
      put(problem, error.message);
    }
  }

  async function job(signal) {
    const { answers } = table;
    const texts = inputsOf(table);
    const wanted = [...texts.keys()].filter((index) => !answers[index] && texts[index].trim());
    const before = texts.length - wanted.length;
    const began = performance.now();
    let done = 0;
    progress.hidden = false;
    progress.max = texts.length;
    progress.value = before;
    put(left);
    const answered = (index, answer) => {
      answers[index] = answer;
      progress.value = before + ++done;
      shown.update(index);
      const rest = ((performance.now() - began) / 1000 / done) * (wanted.length - done);
      put(
        left,
        `${progress.value.toLocaleString("en")} of ${count(texts.length, "row")}, about ${duration(rest)} left`,
      );
    };
    const keeping = setInterval(keepAnswers, 1000);
    try {
      await answerAll(product, texts, wanted, answered, signal);
      return put(left, summary(answers, texts)).textContent;
    } finally {
      clearInterval(keeping);
      if (table?.answers === answers) {
        keepAnswers();
        progress.hidden = done === wanted.length;
        if (signal.aborted)
          put(left, `${progress.value.toLocaleString("en")} of ${count(texts.length, "row")} answered`);
        rename(done === wanted.length ? "Answer the rows" : "Continue");
        shown.enable();
      }
    }
  }

  function show() {
    progress.hidden = true;
    put(left);
    rename(table?.answers.length ? "Continue" : "Answer the rows");
    if (!table)
      return put(
        content,
        intake(take, (text) => open("pasted rows", text)),
      );
    shown = answerRows(product, inputsOf(table), table.answers, download);
    put(output, shown.element);
    put(content, chosen(table, change, close), bar, output);
  }

  function download(guarded) {
    const text = format(withAnswers(table), table.delimiter, guarded);
    const link = el("a", {
      href: URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })),
      download: outName(table),
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  const kept = recall(names.table);
  if (kept) open(kept.name, kept.text, recall(names.answers));
  else show();
  return { element, start: () => table && start(), stop };
}

/** Return the line that says which table it is, and which column is asked. */
function chosen(table, change, close) {
  const titles = titlesOf(table);
  const columns = titles.map((title, index) => el("option", { value: index, selected: index === table.column }, title));
  const column = el("select", { onchange: () => change({ column: Number(column.value) }) }, columns);
  const header = el("input", {
    type: "checkbox",
    checked: table.header,
    onchange: () => change({ header: header.checked }),
  });
  const size = `${count(inputsOf(table).length, "row")}, ${count(titles.length, "column")}`;
  return el(
    "div",
    { class: "chosen" },
    el(
      "p",
      {},
      el("b", {}, table.name),
      ` ${size} `,
      el("button", { type: "button", class: "link", onclick: close }, "Another table"),
    ),
    el("label", { class: "option" }, "Input column", column),
    el("label", { class: "option" }, header, "The first row has the names of the columns"),
  );
}
