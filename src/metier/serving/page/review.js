// The review of a rewritten text: every change can be accepted or rejected, with the mouse, a finger or the keyboard.

import { Review } from "./changes.js";
import { copy, el, put, say } from "./dom.js";
import { count, shorten } from "./words.js";

const SHOWN = 40; // letters of a change in the bar

// What can be done to a `Review`, in the order of the buttons, and by which key.
const ACTIONS = [
  { key: "a", label: "Accept", title: "A", act: (state) => state.decide(true) },
  { key: "r", label: "Reject", title: "R", act: (state) => state.decide(false) },
  { key: "k", label: "‹", name: "Previous change", title: "Previous change (K)", act: (state) => state.move(-1) },
  { key: "j", label: "›", name: "Next change", title: "Next change (J)", act: (state) => state.move(1) },
  {
    key: "A",
    label: "Accept all",
    title: "Shift+A",
    act: (state) => state.acceptAll(),
    can: (state) => state.open.length,
  },
  { key: "u", label: "Undo", title: "U or Ctrl+Z", act: (state) => state.undo(), can: (state) => state.history.length },
];
const TOGETHER = 4; // of them that look like one control

/** Return the review of a text's parts; `decided` is called with all decisions whenever one is made. */
export function review(parts, made, decided) {
  const state = new Review(parts, made);
  const text = (marks) => el("p", { class: "document" }, shownParts(parts, marks));
  const copying = el("button", { type: "button", title: "C", onclick: () => copy(state.result, copying) }, "Copy");
  if (!state.changes.length) {
    return [text([]), reasons(parts), el("p", {}, "Nothing was changed."), el("p", { class: "buttons" }, copying)];
  }
  const marks = state.changes.map((change, index) =>
    markOf(change, () => did(() => state.move(index - state.current))),
  );
  const buttons = ACTIONS.map(({ label, name, title, act }) =>
    el("button", { type: "button", title, "aria-label": name, onclick: () => did(act) }, label),
  );
  const [place, tally] = [el("p", { class: "place" }), el("p", { class: "hint" })];

  function did(act) {
    const inText = marks.includes(document.activeElement);
    act(state);
    decided(state.made);
    show();
    const mark = marks[state.current];
    // Whoever is in the text stays there; whoever uses a button stays on it, unless it has become useless.
    if (inText || document.activeElement.disabled) mark.focus({ preventScroll: true });
    mark.scrollIntoView({ block: "nearest" });
    say(mark.getAttribute("aria-label"));
  }

  function show() {
    for (const [index, change] of state.changes.entries()) showMark(marks[index], change, index, state);
    for (const [index, { can }] of ACTIONS.entries()) buttons[index].disabled = can !== undefined && !can(state);
    put(place, el("b", {}, nth(state.current, state)), " ", inWords(state.changes[state.current]));
    const open = state.open.length;
    put(tally, open ? `${count(open, "change")} undecided: a copy has the text as it was there.` : "All are decided.");
  }

  function pressed(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = command && event.key === "z" ? "u" : event.key;
    const action = ACTIONS.find((one) => one.key === key);
    if (event.altKey || (command && event.key !== "z") || !(action || key === "c")) return;
    event.preventDefault();
    if (action) did(action.act);
    else copying.click();
  }

  show();
  const group = el("span", { class: "group" }, buttons.slice(0, TOGETHER));
  const controls = el("div", { class: "buttons" }, group, buttons.slice(TOGETHER));
  const bar = el("div", { class: "review-bar" }, place, controls, el("div", { class: "buttons" }, copying, tally));
  return el("div", { class: "review", onkeydown: pressed }, text(marks), reasons(parts), bar);
}

function markOf({ gone, added }, onclick) {
  const parts = [gone && el("del", {}, gone), added && el("ins", {}, added)];
  return el("span", { class: "change", role: "button", onclick }, parts);
}

function showMark(mark, change, index, state) {
  mark.dataset.state = state.stateOf(change);
  mark.setAttribute("aria-label", `${nth(index, state)}: ${inWords(change)}, ${state.stateOf(change)}`);
  mark.setAttribute("tabindex", index === state.current ? "0" : "-1");
  mark.toggleAttribute("data-current", index === state.current);
}

function shownParts(parts, marks) {
  const turn = marks.values();
  return parts.map((part) => {
    if ("gone" in part) return turn.next().value;
    return part.reason ? el("span", { class: "kept" }, part.text, el("sup", {}, part.number)) : part.text;
  });
}

/** Return why sentences stayed as they were. */
function reasons(parts) {
  const left = parts.filter((part) => part.reason);
  if (!left.length) return null;
  const rows = left.map((part) => el("li", {}, el("q", {}, shorten(part.text, SHOWN)), ` ${part.reason}.`));
  return el("div", { class: "reasons" }, el("h2", {}, "Left as they were"), el("ol", {}, rows));
}

function nth(index, state) {
  return `Change ${index + 1} of ${state.changes.length}`;
}

function inWords({ gone, added }) {
  const [from, to] = [gone, added].map((text) => `“${shorten(text.trim() || "space", SHOWN)}”`);
  if (!gone) return `${to} is added`;
  return added ? `${from} becomes ${to}` : `${from} is removed`;
}
