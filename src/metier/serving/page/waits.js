// What a request waits for before it is made again: the server's return, its turn, or the key. Shows that in one line.

import { el, put } from "./dom.js";
import { keep, recall } from "./session.js";

const POLL_MS = 2000;
const KEY = "key";
let gone = null; // the promise that all requests share while the server is away
let asking = null; // the same while the key is asked for

/** Return the key that requests carry; null if none was given. */
export function key() {
  return recall(KEY);
}

/** Wait until the server answers again or the user says to try. */
export function untilBack(why, signal) {
  gone ??= new Promise((resolve) => {
    const back = () => {
      clearInterval(poll);
      gone = null;
      put(notice());
      resolve();
    };
    const look = async () => {
      try {
        if ((await fetch("health", { cache: "no-store" })).ok) back();
      } catch {
        // Still away.
      }
    };
    const poll = setInterval(look, POLL_MS);
    put(
      notice(),
      el("p", {}, why ?? "The server does not answer. What you typed is still here.", " "),
      el("button", { type: "button", onclick: back }, "Try again"),
    );
  });
  return orStopped(gone, signal);
}

/** Wait for the server's turn for us. */
export async function untilFree(seconds, signal) {
  put(notice(), el("p", {}, "The server is busy. Waiting for a turn…"));
  await orStopped(new Promise((resolve) => setTimeout(resolve, 1000 * seconds)), signal);
  if (!gone) put(notice());
}

/** Ask for the key. Rejects if the user gives none. */
export function untilKeyGiven(signal) {
  asking ??= new Promise((resolve, reject) => {
    const field = el("input", {
      id: "key",
      type: "password",
      autocomplete: "current-password",
      required: true,
      pattern: "[!-~]+", // what a header can hold
      title: "Letters, digits and signs without spaces",
    });
    let given = false;
    const dialog = el(
      "dialog",
      { "aria-labelledby": "key-title" },
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "key-title" }, "The server asks for a key"),
        el("p", {}, key() === null ? "Whoever runs it has the key." : "It did not accept the last one."),
        el("label", { for: "key" }, "Key"),
        field,
        el("p", { class: "hint" }, "Kept in this tab until it is closed."),
        el(
          "p",
          { class: "buttons" },
          el("button", { class: "primary" }, "Go on"),
          el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        ),
      ),
    );
    dialog.addEventListener("submit", () => {
      keep(KEY, field.value);
      given = true;
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      if (given) resolve();
      else reject(new Error("The server needs a key. Reload the page to give it one."));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return orStopped(asking, signal);
}

/** Return a promise that also ends, rejected, when the signal says stop. */
function orStopped(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function notice() {
  return document.getElementById("notice");
}
