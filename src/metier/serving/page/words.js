// Numbers, times and names as people read them.

/** Return a probability in percent: 87.3%, < 0.1%. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1%";
  if (share < 1 && share > 0.9995) return "> 99.9%";
  return `${(100 * share).toFixed(1)}%`;
}

/** Return a limit in percent, without a decimal that says nothing: 62%, 62.5%. */
export function limit(share) {
  return `${Number((100 * share).toFixed(1))}%`;
}

/** Return points with one decimal; with `sign`, as a difference. */
export function points(value, sign = false) {
  const text = Math.abs(value).toFixed(1);
  if (text === "0.0") return text;
  return value < 0 ? `−${text}` : `${sign ? "+" : ""}${text}`;
}

/** Return an interval's ends: [75.3, 88.0]. */
export function ends([low, high], sign = false) {
  return `[${points(low, sign)}, ${points(high, sign)}]`;
}

/** Return a score with its interval, where it has one. */
export function score(value, interval) {
  return interval && interval[0] < interval[1] ? `${points(value)} ${ends(interval)}` : points(value);
}

/** Return an amount with its noun: 1 row, 1,500 rows. */
export function count(amount, noun) {
  return `${amount.toLocaleString("en")} ${noun}${amount === 1 ? "" : "s"}`;
}

/** Return a time in seconds for people: 40 ms, 4.2 s, 3 min 05 s, 2 h 10 min. */
export function duration(seconds) {
  if (seconds < 0.995) return milliseconds(1000 * seconds);
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Return a time in milliseconds for people: 3 µs, 0.3 ms, 45 ms, 1.2 s. */
export function milliseconds(value) {
  if (value >= 995) return duration(value / 1000);
  if (value < 0.0995) return `${Math.max(1, Math.round(1000 * value))} µs`;
  return `${value < 9.95 ? Number(value.toPrecision(2)) : Math.round(value)} ms`;
}

/** Return an amount of memory in decimal units. */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${Math.round(bytes / 1e6)} MB`;
  return bytes >= 1000 ? `${(bytes / 1000).toFixed(1)} kB` : count(bytes, "byte");
}

/** Return a text cut to a readable length. */
export function shorten(text, limit) {
  const letters = [...text];
  return letters.length <= limit ? text : `${letters.slice(0, limit).join("")}…`;
}
