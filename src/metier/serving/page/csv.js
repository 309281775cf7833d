// Reads and writes tables as text: commas, semicolons or tabs, quoted fields with line ends in them.

const DELIMITERS = [",", ";", "\t"];
const SAMPLE = 20; // rows that the delimiter is guessed from

/** Return a table's rows, each a list of texts, and the delimiter between them. */
export function parse(text) {
  const delimiter = guess(text);
  const rows = [...rowsOf(text, delimiter)];
  return { rows, delimiter };
}

/** Return rows as text. With `guarded`, a spreadsheet reads no cell as a formula: see `guard`. */
export function format(rows, delimiter, guarded) {
  const quoted = new RegExp(`["\\r\\n${delimiter}]`);
  const cell = (value) => {
    const text = guarded ? guard(value) : value;
    return quoted.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(delimiter)}\r\n`).join("");
}

/** Return a cell with an apostrophe before it if a spreadsheet would run it; a plain number is not run. */
export function guard(text) {
  return /^[=+\-@\t\r]/.test(text) && !/^[+-]?\d+([.,]\d+)?%?$/.test(text) ? `'${text}` : text;
}

/** Return the delimiter that cuts the first rows into the most columns, as many in each. */
function guess(text) {
  const widths = (delimiter) => {
    const found = [];
    for (const row of rowsOf(text, delimiter)) if (found.push(row.length) === SAMPLE) break;
    return found;
  };
  const worth = (delimiter) => {
    const found = widths(delimiter);
    const [first] = found;
    return first > 1 ? found.filter((width) => width === first).length / found.length + first / 1000 : 0;
  };
  return DELIMITERS.reduce((best, one) => (worth(one) > worth(best) ? one : best));
}

/** Yield rows; empty lines are none. A quote inside an unquoted field is a letter like any other. */
function* rowsOf(text, delimiter) {
  let row = [];
  let at = 0;
  while (at < text.length) {
    let cell;
    if (text[at] === '"') [cell, at] = quotedCell(text, at + 1);
    else cell = "";
    const begin = at;
    while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at++;
    row.push(cell + text.slice(begin, at));
    if (text[at] === delimiter) {
      at++;
      if (at === text.length) row.push("");
      continue;
    }
    if (text[at] === "\r" && text[at + 1] === "\n") at++;
    at++;
    if (row.length > 1 || row[0] !== "") yield row;
    row = [];
  }
  if (row.length) yield row;
}

/** Return a quoted field without its quotes, and where it ends: at the text's end if nothing closes it. */
function quotedCell(text, begin) {
  let cell = "";
  for (let at = begin; ;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return [cell + text.slice(at), text.length];
    cell += text.slice(at, quote);
    if (text[quote + 1] !== '"') return [cell, quote + 1];
    cell += '"';
    at = quote + 2;
  }
}
