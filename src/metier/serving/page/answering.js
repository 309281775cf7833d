// Answers many texts in chunks that take about a second each. Knows nothing of tables or of how answers are shown.

import { ask, Refused } from "./api.js";

const FIRST = 4; // texts in the first chunk
const MOST = 128; // the server takes twice that
const LETTERS = 100_000; // in a chunk, unless one text alone has more
const AIM = 1000; // milliseconds

/**
 * Answer texts and call `answered(index, answer)` for each, where an answer is `{text, probability, abstained}` or
 * `{problem}`. A text that occurs twice is asked once; an empty one is not asked.
 */
export async function answerAll(product, texts, wanted, answered, signal) {
  const places = Map.groupBy(wanted, (index) => texts[index]);
  const unique = [...places.keys()];
  let begin = 0;
  let length = FIRST;
  while (begin < unique.length) {
    const chunk = chunkOf(unique, begin, length);
    const began = performance.now();
    const answers = await answersTo(product, chunk, signal);
    const took = performance.now() - began;
    for (const [offset, answer] of answers.entries()) {
      for (const place of places.get(chunk[offset])) answered(place, answer);
    }
    begin += chunk.length;
    length = Math.max(1, Math.min(MOST, 2 * length, Math.round((chunk.length * AIM) / took)));
  }
}

function chunkOf(texts, begin, length) {
  const chunk = [];
  let letters = 0;
  for (const text of texts.slice(begin, begin + length)) {
    letters += text.length;
    if (chunk.length && letters > LETTERS) break;
    chunk.push(text);
  }
  return chunk;
}

/** Return the answers to a chunk; where it is refused, by halves, until what is refused is a single text. */
async function answersTo(product, texts, signal) {
  try {
    return await (product.metier.kind === "labels" ? classified : written)(product, texts, signal);
  } catch (error) {
    if (!(error instanceof Refused) || [403, 404].includes(error.status)) throw error;
    if (texts.length === 1) return [{ problem: error.message }];
    const half = texts.length >> 1;
    const first = await answersTo(product, texts.slice(0, half), signal);
    return [...first, ...(await answersTo(product, texts.slice(half), signal))];
  }
}

async function classified(product, texts, signal) {
  const { data } = await ask("classify", { body: { model: product.id, input: texts }, signal });
  return data.map(({ label, probs, abstained }) => ({
    text: label,
    probability: probs?.length ? Math.max(...probs) : null,
    abstained,
  }));
}

async function written(product, texts, signal) {
  const { choices } = await ask("v1/completions", { body: { model: product.id, prompt: texts }, signal });
  const inOrder = choices.toSorted((a, b) => a.index - b.index);
  return inOrder.map(({ text }) => ({ text, probability: null, abstained: text === "" }));
}
