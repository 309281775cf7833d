// The list of products, and of one product what it is and what can be done with it.

import { classifyView } from "./classify.js";
import { el } from "./dom.js";
import { rewriteView } from "./rewrite.js";
import { tableView } from "./table.js";
import { count, limit, score } from "./words.js";
import { writeView } from "./write.js";

const USES = {
  classify: { title: "Try it", make: classifyView },
  write: { title: "Try it", make: writeView },
  rewrite: { title: "Rewrite", make: rewriteView },
  table: { title: "Table", make: tableView },
};

const BASE = { title: "base model", kind: "text", labels: null, threshold: null, score: null };

/** Return the server's models as this page knows them: a base model is of no task. */
export function productsOf(models) {
  return models.map((model) => ({ ...model, isBase: model.metier === null, metier: model.metier ?? BASE }));
}

/** Return what can be done with a product, in the order of its tabs. */
export function usesOf({ isBase, metier }) {
  if (isBase) return ["write"];
  return metier.kind === "labels" ? ["classify", "table"] : ["write", "rewrite", "table"];
}

/** Return the address of a product's use. */
export function addressOf(product, use = usesOf(product)[0]) {
  return `#/product/${encodeURIComponent(product.id)}/${use}`;
}

/** Return the list of products. */
export function productList(products) {
  return el(
    "ul",
    { class: "products" },
    products.map((product) =>
      el(
        "li",
        {},
        el(
          "a",
          { href: addressOf(product), "data-product": product.id },
          el("b", {}, product.id),
          el("span", {}, summary(product)),
        ),
      ),
    ),
  );
}

/** Return the view of one use of a product, under what the product is. */
export function productView(product, use, settings) {
  const { element, ...actions } = USES[use].make(product, settings);
  return { element: el("div", { class: "product" }, heading(product), tabs(product, use), element), ...actions };
}

function summary({ isBase, metier }) {
  if (isBase) return metier.title;
  const what = metier.labels ? count(metier.labels.length, "label") : "free text";
  return metier.score == null ? what : `${what}, ${score(metier.score, metier.interval)}`;
}

function heading({ id, metier }) {
  const facts = [
    ["System", metier.title],
    metier.score != null && [`Score (${metier.metric}, 95%)`, score(metier.score, metier.interval)],
    metier.threshold != null && ["Asks a person", metier.threshold > 1 ? "always" : `below ${limit(metier.threshold)}`],
  ].filter(Boolean);
  return el(
    "div",
    { class: "heading" },
    el("h1", { tabindex: "-1" }, id),
    metier.instruction && el("p", { class: "lead" }, metier.instruction),
    el(
      "dl",
      {},
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    ),
    metier.why &&
      el("details", {}, el("summary", {}, "Why this System"), el("p", {}, `It ships because ${metier.why}.`)),
  );
}

function tabs(product, current) {
  const tab = (use) =>
    el("a", { href: addressOf(product, use), "aria-current": use === current ? "page" : null }, USES[use].title);
  return el("nav", { class: "tabs", "aria-label": "Uses" }, usesOf(product).map(tab));
}
