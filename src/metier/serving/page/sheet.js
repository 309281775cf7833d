// A table that was read: its columns, the inputs in one of them, and the same table with answers.
//
// A sheet is `{name, rows, delimiter, header, column, answers}`: the file, rows of texts, whether the first row has the
// names of the columns, the place of the column that is asked, and by row the answers of `answerAll`.

import { parse } from "./csv.js";
import { count } from "./words.js";

const ADDED = ["prediction", "probability", "abstained"]; // the columns that `metier predict` adds
const INPUTS = ["input", "prompt", "text", "question", "message"];

/** Return the sheet of a file's text; `kept` is what was kept of it before a reload. Throws where it has no rows. */
export function sheetOf(name, text, kept) {
  const { rows, delimiter } = parse(text);
  if (!rows.length) throw new Error("There are no rows in it.");
  const header = kept?.header ?? true;
  const column = kept?.column ?? likelyInput(rows, header);
  return { name, rows, delimiter, header, column, answers: kept?.answers ?? [] };
}

/** Return what is asked, by row. */
export function inputsOf({ rows, header, column }) {
  return rows.slice(header ? 1 : 0).map((row) => row[column] ?? "");
}

/** Return the names of the columns. */
export function titlesOf({ rows, header }) {
  const width = rows.reduce((widest, row) => Math.max(widest, row.length), 0);
  return Array.from({ length: width }, (_, index) => (header && rows[0][index]) || `column ${index + 1}`);
}

/** Return all rows with the answers in columns of their own; a column of such a name is replaced. */
export function withAnswers(sheet) {
  const titles = titlesOf(sheet);
  const own = titles.map((_, index) => index).filter((index) => !(sheet.header && ADDED.includes(titles[index])));
  const body = sheet.rows.slice(sheet.header ? 1 : 0).map((row, index) => {
    const { text = "", probability = "", abstained = "" } = sheet.answers[index] ?? {};
    return [...own.map((place) => row[place] ?? ""), text, String(probability ?? ""), String(abstained)];
  });
  return [[...own.map((place) => titles[place]), ...ADDED], ...body];
}

/** Return the name of the file with the answers. */
export function outName({ name }) {
  return `${name.replace(/\.[^.]*$/, "").replace(/\s/g, "-")}-answers.csv`;
}

/** Return in words what became of all rows. */
export function summary(answers, texts) {
  const all = answers.filter(Boolean);
  const parts = [count(all.filter((answer) => !answer.problem).length, "row") + " answered"];
  const [unsure, bad] = [
    all.filter((answer) => answer.abstained).length,
    all.filter((answer) => answer.problem).length,
  ];
  if (unsure) parts.push(`${unsure} for a person`);
  if (bad) parts.push(`${bad} could not be answered`);
  const empty = texts.filter((text) => !text.trim()).length;
  if (empty) parts.push(`${empty} empty`);
  return parts.join(", ");
}

/** Return the column that is most likely the input: by its name, else the one with the longest texts. */
function likelyInput(rows, header) {
  const named = header ? rows[0].findIndex((title) => INPUTS.includes(title.trim().toLowerCase())) : -1;
  if (named >= 0) return named;
  const letters = rows[0].map((_, index) =>
    rows.slice(1, 100).reduce((sum, row) => sum + (row[index]?.length ?? 0), 0),
  );
  return letters.indexOf(Math.max(...letters));
}
