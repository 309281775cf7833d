// Sets light or dark before the first paint, so that nothing flashes. The one script that is not a module.
"use strict";

(() => {
  const KEY = "metier-theme"; // "light" or "dark"; absent: as the system says

  function kept() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: the choice lasts as long as the page
    }
  }

  function show(theme) {
    document.documentElement.dataset.theme = theme;
  }

  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = kept();
  show(chosen ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => {
    if (!chosen) show(system.matches ? "dark" : "light");
  });

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => {
      const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      button.textContent = other === "dark" ? "Dark" : "Light";
      button.setAttribute("aria-label", `Switch to ${other}`);
      return other;
    };
    name();
    system.addEventListener("change", name);
    button.addEventListener("click", () => {
      chosen = name();
      show(chosen);
      name();
      try {
        localStorage.setItem(KEY, chosen);
      } catch {
        // As above.
      }
    });
  });
})();
