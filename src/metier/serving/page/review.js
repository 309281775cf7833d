// The review of a rewritten text: every change can be accepted or rejected, with the mouse, a finger or the keyboard.

import { resultOf } from "./changes.js";
import { copy, el, put, say } from "./dom.js";
import { count, shorten } from "./words.js";

const SHOWN = 40; // letters of a change in the bar

/** Return the review of a text's parts; `decided` is called with all decisions whenever one is made. */
export function review(parts, decisions, decided) {
  const changes = parts.filter((part) => "gone" in part);
  const marks = changes.map((change, index) => markOf(change, () => select(index)));
  let current = 0;

  const place = el("p", { class: "place" });
  const button = (label, title, onclick) => el("button", { type: "button", title, onclick }, label);
  const accept = button("Accept", "A", () => decide([current], true));
  const reject = button("Reject", "R", () => decide([current], false));
  const before = button("‹", "Previous change (K)", () => select(step(-1)));
  const next = button("›", "Next change (J)", () => select(step(1)));
  before.setAttribute("aria-label", "Previous change");
  next.setAttribute("aria-label", "Next change");
  const all = button("Accept all", "Shift+A", acceptAll);
  const undo = button("Undo", "U", takeBack);
  const copying = button("Copy", "C", () => copy(resultOf(parts, decisions.made), copying));
  const tally = el("p", { class: "hint" });
  const controls = changes.length ? [el("span", { class: "group" }, accept, reject, before, next), all, undo] : [];
  const bar = el("div", { class: "review-bar" }, place, el("div", { class: "buttons" }, controls, copying), tally);
  const text = el("p", { class: "document" }, shownParts(parts, marks));
  const keys = { a: () => decide([current], true), r: () => decide([current], false), j: () => select(step(1)) };
  Object.assign(keys, { k: () => select(step(-1)), u: takeBack, A: acceptAll, c: () => copying.click() });

  function step(by) {
    return (current + by + changes.length) % changes.length;
  }

  function isOpen(index) {
    return decisions.made[changes[index].id] === undefined;
  }

  function select(index, focus = true) {
    current = index;
    show();
    if (!changes.length || !focus) return;
    marks[current].focus({ preventScroll: true });
    marks[current].scrollIntoView({ block: "nearest" });
  }

  function decide(indexes, accepted) {
    if (!changes.length) return;
    decisions.decide(
      indexes.map((index) => changes[index].id),
      accepted,
    );
    decided(decisions.made);
    const following = changes.map((_, offset) => (current + offset) % changes.length).find(isOpen);
    select(following ?? current);
    if (following === undefined) say("Every change is decided");
  }

  function acceptAll() {
    decide([...changes.keys()].filter(isOpen), true);
  }

  function takeBack() {
    if (!decisions.undo()) return;
    decided(decisions.made);
    select(current);
    say("Undone");
  }

  function show() {
    const open = changes.filter((_, index) => isOpen(index)).length;
    for (const [index, mark] of marks.entries()) {
      const made = decisions.made[changes[index].id];
      const state = made === undefined ? "open" : made ? "accepted" : "rejected";
      mark.dataset.state = state;
      mark.setAttribute("aria-label", `Change ${index + 1} of ${changes.length}: ${inWords(changes[index])}, ${state}`);
      mark.setAttribute("tabindex", index === current ? "0" : "-1");
      mark.toggleAttribute("data-current", index === current);
    }
    if (changes.length)
      put(place, el("b", {}, `Change ${current + 1} of ${changes.length}`), " ", inWords(changes[current]));
    else put(place, "Nothing was changed.");
    all.disabled = open === 0;
    undo.disabled = !decisions.history.length;
    put(tally, open ? `${count(open, "change")} undecided: a copy has the text as it was there.` : "");
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key !== "z" || event.shiftKey) return;
      event.preventDefault();
      return takeBack();
    }
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  select(
    Math.max(
      0,
      changes.findIndex((_, index) => isOpen(index)),
    ),
    false,
  );
  return el("div", { class: "review", onkeydown: pressed }, text, reasons(parts), bar);
}

function markOf({ gone, added }, onselect) {
  const parts = [gone && el("del", {}, gone), added && el("ins", {}, added)];
  return el("span", { class: "change", role: "button", onclick: onselect }, parts);
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
  return el("div", { class: "reasons" }, el("h3", {}, "Left as it was"), el("ol", {}, rows));
}

function inWords({ gone, added }) {
  const [from, to] = [gone, added].map((text) => `“${shorten(text.trim() || "space", SHOWN)}”`);
  if (!gone) return `${to} is added`;
  return added ? `${from} becomes ${to}` : `${from} goes`;
}
