// Begins the page, and shows what the address names. A view is made once and kept: what runs in it goes on meanwhile.

import { ask } from "./api.js";
import { compareView } from "./compare.js";
import { el, put } from "./dom.js";
import { listen } from "./keys.js";
import { addressOf, productList, productsOf, productView, usesOf } from "./product.js";
import { runView } from "./run.js";
import { runsView } from "./runs.js";

const main = document.getElementById("main");
const views = new Map(); // by address
let products = [];
let settings = {};
let shown = null;

/** Return the view that an address names; a promise where it has to be asked for. */
function viewAt([page, ...names]) {
  if (page === "runs") return names.length ? runView(names[0]) : runsView();
  if (page === "compare") return compareView(...names);
  const [id, use] = names;
  const product = products.find((one) => one.id === id);
  if (!product || !usesOf(product).includes(use)) throw new Error("There is nothing at this address.");
  return productView(product, use, settings);
}

async function show() {
  const address = location.hash;
  const parts = address.slice(2).split("/").filter(Boolean).map(decodeURIComponent);
  if (!parts.length) return products.length ? location.replace(addressOf(products[0])) : showNothing();
  mark(parts);
  try {
    const view = views.get(address) ?? (await viewAt(parts));
    if (parts[0] === "product") views.set(address, view);
    if (location.hash !== address) return; // the user went on meanwhile
    const moved = shown !== null;
    shown = view;
    put(main, view.element);
    document.title = `${parts.slice(1).join(", ") || "Runs"} · Metier`;
    if (moved) main.querySelector("h1").focus();
  } catch (error) {
    shown = null;
    put(
      main,
      el("h1", { tabindex: "-1" }, "That did not work"),
      el("p", { class: "problem", role: "alert" }, error.message),
    );
  }
}

function showNothing() {
  put(main, el("h1", {}, "No products"), el("p", {}, "None of the runs that are served ended with one."));
}

/** Mark in the header and the list what is shown. */
function mark([page, id]) {
  const chapter = page === "product" ? "products" : "runs";
  for (const link of document.querySelectorAll("[data-page]")) current(link, link.dataset.page === chapter, "page");
  const side = document.getElementById("side");
  side.hidden = page !== "product" || products.length < 2;
  for (const link of side.querySelectorAll("a")) current(link, link.dataset.product === id, "true");
  side.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function current(link, isCurrent, what) {
  if (isCurrent) link.setAttribute("aria-current", what);
  else link.removeAttribute("aria-current");
}

async function begin() {
  const [told, models] = await Promise.all([ask("settings"), ask("v1/models")]);
  settings = told;
  products = productsOf(models.data);
  put(document.getElementById("side"), productList(products));
  listen(() => shown);
  addEventListener("hashchange", show);
  await show();
}

begin().catch((error) => put(main, el("p", { class: "problem", role: "alert" }, error.message)));
