// The confusion matrix of a chosen network: where each class' pixels went, and the largest confusions in words.
{
  const LISTED = 8, boardSelect = byId("confusion-board"), runSelect = byId("confusion-run"), table = byId("confusion-matrix");
  const percent = (share) => (share < 10 ? (share / 10).toFixed(1) : String(Math.round(share / 10)));

  function offer() {
    runSelect.replaceChildren(...page.boards[boardSelect.value].runs.map((each, i) => new Option(each.name, String(i))));
    draw();
  }

  function draw() {
    const { classes, runs } = page.boards[boardSelect.value];
    const { name, confusion } = runs[runSelect.value];
    table.caption.textContent = `Confusion matrix of ${name}`;
    const corner = make("td", { className: "sticky" }, make("span", { className: "aside", textContent: "truth ↓ found →" }));
    const head = classes.map((each) => make("th", { scope: "col", className: "tall" }, make("span", { textContent: each.name })));
    table.tHead.replaceChildren(make("tr", {}, corner, ...head));
    table.tBodies[0].replaceChildren(...classes.map((each, i) => make("tr", {},
      make("th", { scope: "row", className: "sticky", textContent: each.name }),
      ...classes.map((_, j) => cell(confusion[i]?.[j], i === j, `${each.name} found as ${classes[j].name}`)))));
    list(classes, confusion);
  }

  function cell(share, right, words) {
    if (share === undefined) return make("td", { className: "undefined" });
    const shown = make("td", { className: `h${Math.round(share / 100)}${right ? " right" : ""}`, title: `${words}: ${percent(share)} %` });
    shown.textContent = share >= 5 ? String(Math.round(share / 10)) : "";
    return shown;
  }

  function list(classes, confusion) {
    const found = confusion.flatMap((row, i) => (row ?? []).map((share, j) => ({ share, i, j })));
    const wrong = found.filter(({ share, i, j }) => i !== j && share > 0 && classes[i].evaluated);
    wrong.sort((a, b) => b.share - a.share);
    byId("confusion-list").replaceChildren(...wrong.slice(0, LISTED).map(({ share, i, j }) =>
      make("li", {}, make("strong", { textContent: `${percent(share)} %` }), ` of ${classes[i].name} as ${classes[j].name}`)));
  }

  boardSelect.replaceChildren(...page.boards.map((each, i) => new Option(each.title, String(i))));
  boardSelect.addEventListener("change", offer);
  runSelect.addEventListener("change", draw);
  document.querySelector(".confusion").hidden = false;
  offer();
}
