// The keyboard: what keys do anywhere on the page, and the list of all of them.

import { el, isTyping } from "./dom.js";

const SHORTCUTS = [
  [
    "Everywhere",
    [
      ["Ctrl+Enter", "run"],
      ["Esc", "stop"],
      ["/", "go to the text"],
      ["P", "go to the products"],
      ["?", "show this list"],
    ],
  ],
  [
    "While reviewing changes",
    [
      ["J, K", "next, previous change"],
      ["A, R", "accept, reject"],
      ["Shift+A", "accept all"],
      ["U or Ctrl+Z", "undo"],
      ["C", "copy"],
    ],
  ],
];

/** Listen to the keyboard; `shown()` returns the view that is on the page. */
export function listen(shown) {
  document.getElementById("help").addEventListener("click", showShortcuts);
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) shown()?.start?.();
    else if (event.key === "Escape") shown()?.stop?.();
    else if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key === "?") showShortcuts();
    else if (event.key === "/") document.querySelector("#main [data-start]")?.focus();
    else if (event.key === "p") document.querySelector("#side a[aria-current], #side a")?.focus();
    else return;
    event.preventDefault();
  });
}

function showShortcuts() {
  const dialog = el(
    "dialog",
    { "aria-labelledby": "shortcuts", onclose: () => dialog.remove() },
    el("h2", { id: "shortcuts" }, "Keyboard shortcuts"),
    SHORTCUTS.map(([title, rows]) => [
      el("h3", {}, title),
      el(
        "dl",
        { class: "keys" },
        rows.map(([key, what]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, what))),
      ),
    ]).flat(),
    el("form", { method: "dialog", class: "buttons" }, el("button", {}, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
