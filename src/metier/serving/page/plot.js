// Draws score against time: a numbered dot for each System, with its interval. What lies along x is in percent, so that
// letters keep their size on a phone. The times go from a microsecond to seconds, so their axis is logarithmic.

import { drawn, el } from "./dom.js";
import { milliseconds, points } from "./words.js";

const [TOP, BASE, HEIGHT] = [14, 284, 326]; // pixels
const [LEFT, RIGHT] = [7, 96]; // percent, of the dots: room for letters on the left, for half a dot on the right

/** Return the figure of those Systems whose time was measured. */
export function scatter(systems) {
  const timed = systems.filter((system) => system.milliseconds > 0 && system.score !== null);
  if (!timed.length) return el("p", { class: "muted" }, "The time of a row was not measured in this run.");
  const x = scale(
    timed.map((system) => Math.log10(system.milliseconds)),
    LEFT,
    RIGHT,
    0.25,
  );
  const ends = timed.flatMap(({ score, interval }) => [score, ...(interval ?? [])]);
  const y = scale(ends, BASE, TOP, 2);
  const inOrder = timed.toSorted((a, b) => a.isProduct - b.isProduct || a.score - b.score); // the better ones on top
  const parts = [
    ...ticks(y.low, y.high).map((value) => [
      line(0, y(value), 100, y(value), "grid"),
      text(0, y(value) - 4, String(value), "start"),
    ]),
    ...decades(x.low, x.high).map((value) => text(x(Math.log10(value)), BASE + 18, milliseconds(value), "middle")),
    text(50, HEIGHT - 6, "time of a row", "middle"),
    ...inOrder.map((system) => whisker(system, x(Math.log10(system.milliseconds)), y)),
    ...inOrder.map((system) => mark(system, x(Math.log10(system.milliseconds)), y)),
  ];
  const title = "Each System's score against the time that it takes for a row";
  return drawn(
    "svg",
    { class: "plot", role: "img", "aria-label": `${title}; the table has the numbers`, height: HEIGHT, width: "100%" },
    parts.flat(),
  );
}

function whisker({ interval, isProduct }, x, y) {
  return interval ? [line(x, y(interval[0]), x, y(interval[1]), isProduct ? "whisker product" : "whisker")] : [];
}

function mark(system, x, y) {
  const { score } = system;
  const told = `${system.number}: ${system.title}, ${points(score)}, ${milliseconds(system.milliseconds)}`;
  return drawn(
    "g",
    { class: system.isProduct ? "product" : null },
    drawn("title", {}, told),
    drawn("circle", { cx: `${x}%`, cy: y(score), r: 10 }),
    text(x, y(score) + 4, String(system.number), "middle", "number"),
  );
}

/** Return the function from values to a range of the drawing, with room at both ends. */
function scale(values, from, to, room) {
  const low = Math.min(...values) - room;
  const high = Math.max(...values) + room;
  return Object.assign((value) => from + ((to - from) * (value - low)) / (high - low), { low, high });
}

/** Return round numbers between two, about five. */
function ticks(low, high) {
  const step = [1, 2, 5, 10, 20, 25].find((one) => (high - low) / one <= 6) ?? 50;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

/** Return powers of ten between two exponents, four at most; where there is one alone, also its double and fivefold. */
function decades(low, high) {
  const between = (factors) => {
    const found = [];
    for (let power = Math.floor(low); power <= high; power++) {
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
      }
    }
    return found;
  };
  const whole = between([1]);
  if (whole.length < 2) return between([1, 2, 5]);
  return whole.filter((_, index) => index % Math.ceil(whole.length / 4) === 0);
}

function line(x1, y1, x2, y2, kind) {
  return drawn("line", { class: kind, x1: `${x1}%`, y1, x2: `${x2}%`, y2 });
}

function text(x, y, said, anchor, kind = "note") {
  return drawn("text", { class: kind, x: `${x}%`, y, "text-anchor": anchor }, said);
}
