// Rows with their answers, as many as can be looked at, and the button that gives back all of them.

import { el, put } from "./dom.js";
import { percent, shorten } from "./words.js";

const STEP = 50;
const LETTERS = 300; // of an input or answer

/** Return the table, and functions that show an answer that has come and that allow the download. */
export function answerRows(product, texts, answers, download) {
  const labelled = product.metier.kind === "labels";
  const body = el("tbody");
  const more = el("button", { type: "button", onclick: showMore });
  const guarded = el("input", { type: "checkbox", checked: true });
  const save = el("button", { type: "button", onclick: () => download(guarded.checked) }, "Download as CSV");
  const apostrophe =
    "Put an apostrophe before cells that start with = + - @ (numbers excepted), so that no spreadsheet runs them";
  const saving = el("div", { class: "buttons" }, save, el("label", { class: "option" }, guarded, apostrophe));
  const rows = [];

  function showMore() {
    const until = Math.min(texts.length, rows.length + STEP);
    for (let index = rows.length; index < until; index++) {
      rows.push(el("tr"));
      update(index);
    }
    body.append(...rows.slice(body.childElementCount));
    more.hidden = rows.length === texts.length;
    more.textContent = `Show ${Math.min(STEP, texts.length - rows.length)} more rows`;
  }

  function update(index) {
    if (index < rows.length) put(rows[index], cells(index, texts[index], answers[index], labelled));
  }

  function enable() {
    saving.hidden = !answers.some(Boolean);
  }

  const titles = ["Row", "Input", "Answer", labelled && "Probability"].filter(Boolean);
  const numeric = ["Row", "Probability"];
  const head = el(
    "thead",
    {},
    el(
      "tr",
      {},
      titles.map((title) => el("th", { scope: "col", class: numeric.includes(title) ? "n" : null }, title)),
    ),
  );
  showMore();
  enable();
  return { element: el("div", {}, saving, el("table", { class: "cards answers" }, head, body), more), update, enable };
}

function cells(index, text, answer, labelled) {
  const said = !answer
    ? null
    : answer.problem
      ? el("span", { class: "problem" }, answer.problem)
      : [shorten(answer.text, LETTERS), answer.abstained && el("span", { class: "tag ask" }, "ask a person")];
  const share = answer?.probability;
  return [
    el("td", { class: "muted n", "data-label": "Row" }, String(index + 1)),
    el("td", { class: "text", "data-label": "Input", dir: "auto" }, shorten(text, LETTERS)),
    el("td", { class: "text said", "data-label": "Answer", dir: "auto" }, said),
    labelled && el("td", { class: "n", "data-label": "Probability" }, share == null ? "" : percent(share)),
  ].filter(Boolean);
}
