// The server's client: JSON in and out, streams, and what it does when the server is away, busy or asks for a key.

import { eventsOf } from "./sse.js";
import { key, untilBack, untilFree, untilKeyGiven } from "./waits.js";

/** The server's refusal, in its own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return a path of the API for a name, which may have slashes. */
export function pathOf(...names) {
  return names.map((name) => name.split("/").map(encodeURIComponent).join("/")).join("/");
}

/** Return what the server says to a request: a GET, or a POST where there is a body. */
export async function ask(path, { body, signal } = {}) {
  for (;;) {
    const response = await reach(path, body, signal);
    try {
      return response.status === 204 || response.status === 202 ? null : await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      await untilBack(null, signal); // the connection broke in the middle of an answer
    }
  }
}

/** Yield the answer to one input piece by piece. */
export async function* write(model, text, signal) {
  const body = { model, stream: true, messages: [{ role: "user", content: text }] };
  for await (const chunk of events("v1/chat/completions", body, signal)) {
    const piece = chunk.choices?.[0]?.delta?.content;
    if (piece) yield piece;
  }
}

/** Yield the pieces of a rewritten text in order, each as `{of, piece}`: how many there are, and what became of it. */
export function rewrite(model, text, by, signal) {
  return events("rewrite", { model, text, by, stream: true }, signal);
}

/** Yield what the server sends as events. Throws if it does not come to its end. */
async function* events(path, body, signal) {
  const response = await reach(path, body, signal);
  let ended = false;
  try {
    for await (const data of eventsOf(response.body)) {
      if (data === "[DONE]") {
        ended = true;
        return;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refused(response.status, chunk.error.message);
      yield chunk;
    }
  } catch (error) {
    if (signal?.aborted || error instanceof Refused) throw error;
  }
  if (!ended) throw new Refused(0, "The connection broke before the answer was complete. Run it again.");
}

/** Return a whole file of the server's. */
export async function file(path) {
  return (await reach(path)).blob();
}

async function reach(path, body, signal) {
  for (;;) {
    let response;
    try {
      response = await fetch(path, options(body, signal));
    } catch (error) {
      if (signal?.aborted) throw error;
      await untilBack(null, signal);
      continue;
    }
    if (response.ok) return response;
    const message = await messageOf(response);
    if (response.status === 401) await untilKeyGiven(signal);
    else if (response.status === 429) await untilFree(Number(response.headers.get("Retry-After")) || 1, signal);
    else if (response.status === 503) await untilBack(message, signal);
    else throw new Refused(response.status, message);
  }
}

function options(body, signal) {
  const headers = {};
  if (key() !== null) headers.Authorization = `Bearer ${key()}`;
  if (body === undefined) return { headers, signal };
  headers["Content-Type"] = "application/json";
  return { method: "POST", headers, signal, body: JSON.stringify(body) };
}

async function messageOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}
