// A rewritten text as parts that stay and changes that can be decided one by one. Knows nothing of how it is shown.

/**
 * Return the parts of a text in order.
 *
 * A part is `{text}` (stays), `{text, reason, number}` (a sentence that was left as it was, and why) or a change
 * `{id, gone, added}`. Changes with nothing but space between them are one: nobody decides "big" and "house" apart.
 */
export function partsOf(pieces) {
  const parts = [];
  let changes = 0;
  let reasons = 0;
  for (const piece of pieces) {
    if (piece.reason) parts.push({ text: piece.before, reason: piece.reason, number: ++reasons });
    else if (!piece.changed) parts.push({ text: piece.after });
    else for (const part of ofDiff(piece.diff)) parts.push("gone" in part ? { id: changes++, ...part } : part);
  }
  return parts;
}

/** Return the text that results from decisions: by a change's id, whether it is accepted; undecided: it is not made. */
export function resultOf(parts, decisions) {
  return parts.map((part) => ("gone" in part ? (decisions[part.id] ? part.added : part.gone) : part.text)).join("");
}

/** Decisions with a memory: every step can be undone. */
export class Decisions {
  constructor(made = {}) {
    this.made = made;
    this.history = [];
  }

  /** Decide some changes in one step. */
  decide(ids, accepted) {
    this.history.push(this.made);
    this.made = { ...this.made, ...Object.fromEntries(ids.map((id) => [id, accepted])) };
  }

  /** Take the last step back, and return whether there was one. */
  undo() {
    if (!this.history.length) return false;
    this.made = this.history.pop();
    return true;
  }
}

function ofDiff(diff) {
  const parts = [];
  for (const [index, { op, text }] of diff.entries()) {
    const last = parts.at(-1);
    const inChange = last !== undefined && "gone" in last;
    if (op === "equal" && inChange && !text.trim() && index < diff.length - 1) {
      last.gone += text;
      last.added += text;
    } else if (op === "equal") {
      parts.push({ text });
    } else {
      const change = inChange ? last : { gone: "", added: "" };
      if (!inChange) parts.push(change);
      change[op === "delete" ? "gone" : "added"] += text;
    }
  }
  return parts;
}
