// Makes elements. Text from outside becomes text here and never markup: nothing on this page sets innerHTML.

const REVOKED_AFTER = 60_000; // milliseconds: by then the browser has read the file
const SVG = "http://www.w3.org/2000/svg";

/** Return an HTML element. An attribute `onNAME` is a listener; one that is null or false is left out. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an SVG element. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Replace what is in an element. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Say something to those who do not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Put a text on the clipboard, and say in the button that it is there. */
export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    say("Copied");
  } catch {
    button.textContent = "The browser did not allow it";
  }
  setTimeout(() => (button.textContent = before), 1500);
}

/** Save a file under a name. */
export function saveAs(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKED_AFTER);
}

/** Whether keys that are pressed now are text: then they are no shortcuts. */
export function isTyping(target) {
  return target instanceof Element && target.closest("textarea, input, select") !== null;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child != null && child !== false);
}
