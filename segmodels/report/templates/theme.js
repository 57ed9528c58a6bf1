"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// The theme: the system's, until somebody chooses.
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

// The contents say which section is in view.
{
  const links = [...document.querySelectorAll(".contents a")];
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const link = links.find((each) => each.hash === `#${target.id}`);
      if (isIntersecting && link) {
        links.forEach((each) => each.removeAttribute("aria-current"));
        link.setAttribute("aria-current", "true");
      }
    }
  }, { rootMargin: "-20% 0px -70%" });
  document.querySelectorAll("main > section[id]").forEach((section) => observer.observe(section));
}
