// Charts: a specification and its rows serve all that show one network of them. Colours are CSS variables.
{
  const views = new Map();
  const embed = async (place) => {
    const { spec, rows } = page.charts[place.dataset.chart];
    const params = (spec.params ?? []).map((each) => (each.name === "run" ? { ...each, value: place.dataset.run } : each));
    const whole = { ...spec, params, description: place.dataset.label, datasets: { rows } };
    const { view } = await vegaEmbed(place, whole, { actions: false, renderer: "svg", ast: true });
    views.set(place, view);
    place.dataset.drawn = "";
  };
  const drawn = Promise.all([...document.querySelectorAll(".plot:not([hidden])")].map(embed));
  drawn.then(() => { document.documentElement.dataset.charts = "drawn"; });

  for (const input of document.querySelectorAll("input[name=metric]")) {
    input.addEventListener("change", async () => {
      await drawn;
      for (const place of document.querySelectorAll(".plot.learning")) views.get(place).signal("metric", input.value).runAsync();
    });
  }
  for (const input of document.querySelectorAll("input[name=cost]")) {
    input.addEventListener("change", () => {
      for (const place of document.querySelectorAll(".plot.cost")) {
        place.hidden = !place.dataset.chart.startsWith(`${input.value}-`);
        if (!place.hidden && !views.has(place)) embed(place);
      }
    });
  }
}
