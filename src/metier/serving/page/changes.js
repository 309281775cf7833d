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
    else for (const part of ofDiff(piece.diff)) parts.push(isChange(part) ? { id: changes++, ...part } : part);
  }
  return parts;
}

/** Return the text with every change made. */
export function allMade(parts) {
  return joined(parts, () => true);
}

/** The review of a text: which change is looked at, and what was decided. Every step can be undone. */
export class Review {
  /** `made` is what was decided before: by a change's id, whether it is accepted. */
  constructor(parts, made = {}) {
    this.parts = parts;
    this.changes = parts.filter(isChange);
    this.made = made;
    this.history = [];
    this.current = Math.max(0, this.changes.indexOf(this.open[0]));
  }

  /** The changes that are not decided. */
  get open() {
    return this.changes.filter(({ id }) => this.made[id] === undefined);
  }

  /** The text as decided; where nothing is, it is as it was. */
  get result() {
    return joined(this.parts, ({ id }) => this.made[id] ?? false);
  }

  stateOf({ id }) {
    if (this.made[id] === undefined) return "open";
    return this.made[id] ? "accepted" : "rejected";
  }

  /** Look at the change that is so many further on, or back; after the last comes the first. */
  move(by) {
    this.current = (this.current + by + this.changes.length) % this.changes.length;
  }

  /** Decide the change that is looked at, and go on to the next open one. */
  decide(accepted) {
    this.#record([this.changes[this.current]], accepted);
    const following = [...this.changes.slice(this.current), ...this.changes];
    const next = following.find((change) => this.open.includes(change));
    if (next) this.current = this.changes.indexOf(next);
  }

  acceptAll() {
    this.#record(this.open, true);
  }

  undo() {
    this.made = this.history.pop() ?? this.made;
  }

  #record(changes, accepted) {
    this.history.push(this.made);
    this.made = { ...this.made, ...Object.fromEntries(changes.map(({ id }) => [id, accepted])) };
  }
}

function isChange(part) {
  return "gone" in part;
}

function joined(parts, isMade) {
  return parts.map((part) => (isChange(part) ? (isMade(part) ? part.added : part.gone) : part.text)).join("");
}

function ofDiff(diff) {
  const parts = [];
  for (const [index, { op, text }] of diff.entries()) {
    const last = parts.at(-1);
    const inChange = last !== undefined && isChange(last);
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
