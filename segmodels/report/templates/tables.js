// Leaderboards: sorting, the columns behind the switch, and who is not ranked against whom.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => {
    header.querySelector("button")?.addEventListener("click", () => {
      const numeric = header.dataset.kind === "number";
      const first = numeric && column > 0 ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = header.getAttribute("aria-sort") === first ? other : first;
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      const value = (row) => row.cells[column].dataset.value;
      const sign = order === "ascending" ? 1 : -1;
      const compare = (a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === ""); // undefined is last
        return sign * (numeric ? value(a) - value(b) : value(a).localeCompare(value(b), "en"));
      };
      body.append(...[...body.rows].sort(compare));
      byId("sorted").textContent = `Sorted by ${header.textContent.trim()}, ${order}.`;
    });
  });
  for (const button of table.querySelectorAll("button.tie")) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      table.querySelectorAll("button.tie").forEach((each) => each.setAttribute("aria-pressed", "false"));
      button.setAttribute("aria-pressed", String(pressed));
      const tied = pressed ? JSON.parse(button.closest("tr").dataset.tied) : [];
      for (const row of body.rows) row.classList.toggle("tied", tied.includes(row.dataset.run));
    });
  }
}

byId("more-scores").addEventListener("click", ({ currentTarget }) => {
  const on = currentTarget.getAttribute("aria-checked") !== "true";
  currentTarget.setAttribute("aria-checked", String(on));
  byId("leaderboard").classList.toggle("more", on);
  document.querySelector(".extra-terms").hidden = !on;
});

// A link to a folded entry opens it.
const unfold = () => {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();
