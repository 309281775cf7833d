// Bytes of a dropped file to text, or a refusal in one line where they are none.

const LARGEST = 50e6; // bytes: beyond that the page gets slow, and `metier predict` is the better tool
const KINDS = [
  ["%PDF", "a PDF"],
  ["PK\x03\x04", "a spreadsheet or another zipped file"],
  ["\xD0\xCF\x11\xE0", "an old Excel or Word file"],
  ["PAR1", "a Parquet file"],
  ["\x1F\x8B", "a compressed file"],
  ["\x89PNG", "a picture"],
  ["\xFF\xD8\xFF", "a picture"],
];

/** Return a file's text. Throws an error whose message is for people. */
export async function readText(file) {
  if (file.size > LARGEST) {
    throw new Error(
      `${file.name} has ${Math.round(file.size / 1e6)} MB, more than this page takes. metier predict does.`,
    );
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const begin = String.fromCharCode(...bytes.subarray(0, 8));
  const kind = KINDS.find(([mark]) => begin.startsWith(mark))?.[1];
  if (kind) throw new Error(`${file.name} is ${kind}. Save it as CSV or TSV first.`);
  const text = decoded(bytes);
  if (/[\0-\x08\x0E-\x1A]/.test(text)) throw new Error(`${file.name} is not a text file. This page takes CSV and TSV.`);
  if (!text.trim()) throw new Error(`${file.name} is empty.`);
  return text;
}

/** Return text as UTF-8, as what its first bytes say, or else as what spreadsheets on Windows write. */
function decoded(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
