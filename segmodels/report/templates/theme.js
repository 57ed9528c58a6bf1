// The theme: the system's, until somebody chooses.
"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

{
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const show = () => {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : system.matches;
    button.setAttribute("aria-pressed", String(dark));
  };
  if (remembered()) document.documentElement.dataset.theme = remembered();
  button.addEventListener("click", () => {
    const theme = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("theme", theme); } catch { /* a page without storage forgets it */ }
    show();
  });
  system.addEventListener("change", show);
  show();
}
