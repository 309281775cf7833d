// A job that the user starts and can stop: its buttons, its time, and what went wrong.

import { el, put, say } from "./dom.js";
import { duration } from "./words.js";

const TICK_MS = 200;

/**
 * Return a job's bar of buttons, and functions to start, stop and rename it.
 *
 * `job(signal)` does the work; what it returns is said when it is done. `output` is marked as busy meanwhile.
 */
export function work({ label, output, job, extra = [] }) {
  const run = el("button", { type: "button", class: "primary", onclick: start, title: "Ctrl+Enter" }, label);
  const halt = el("button", { type: "button", onclick: stop, hidden: true, title: "Esc" }, "Stop");
  const time = el("span", { class: "muted time" });
  const problem = el("p", { class: "problem", role: "alert" });
  const bar = el("div", {}, el("div", { class: "buttons" }, run, halt, extra, time), problem);
  let controller = null;

  async function start() {
    if (controller) return;
    controller = new AbortController();
    const { signal } = controller;
    const began = performance.now();
    const clock = setInterval(() => put(time, sinceThen(began)), TICK_MS);
    const hadFocus = document.activeElement === run;
    put(problem);
    put(time);
    run.hidden = true;
    halt.hidden = false;
    if (hadFocus) halt.focus();
    output.setAttribute("aria-busy", "true");
    try {
      const told = await job(signal);
      put(time, sinceThen(began));
      say(told ?? "Done");
    } catch (error) {
      if (signal.aborted) put(time, "Stopped");
      else put(problem, error.message);
    } finally {
      clearInterval(clock);
      output.removeAttribute("aria-busy");
      const focused = document.activeElement === halt;
      run.hidden = false;
      halt.hidden = true;
      if (focused) run.focus();
      controller = null;
    }
  }

  function stop() {
    controller?.abort(new DOMException("Stopped", "AbortError"));
  }

  return { bar, start, stop, rename: (name) => put(run, name) };
}

function sinceThen(began) {
  return duration((performance.now() - began) / 1000);
}
