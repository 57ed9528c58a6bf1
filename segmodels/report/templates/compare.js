// Two pictures of one image, a divider between them, and what class lies under the pointer.
{
  const PHOTO = "photograph", TRUTH = "ground truth";
  const selects = { board: byId("compare-board"), left: byId("compare-left"), right: byId("compare-right") };
  const frame = byId("compare-frame"), slider = byId("compare-slider"), readout = byId("compare-readout");
  const sides = Object.fromEntries(["left", "right"].map((name) => [name, frame.querySelector(`[data-side=${name}]`)]));
  const pixels = { left: null, right: null };
  let image = 0;

  const board = () => page.boards[selects.board.value];
  const picture = () => board().images[image];
  const run = (choice) => (choice.startsWith("run ") ? board().runs[choice.slice(4)] : null);
  const title = (choice) => run(choice)?.name ?? choice;
  const source = (choice) => (choice === TRUTH ? picture().truth : run(choice)?.maps[image]);
  const percent = (share) => (share === 0 ? "–" : share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`);
  const score = (value) => (value === null ? "–" : value.toFixed(3));

  function offer() {
    const options = () => [PHOTO, TRUTH].map((each) => new Option(each, each))
      .concat(board().runs.map((each, i) => new Option(each.name, `run ${i}`)));
    selects.left.replaceChildren(...options());
    selects.right.replaceChildren(...options());
    selects.left.value = TRUTH;
    selects.right.value = "run 0";
    image = 0;
    byId("compare-images").replaceChildren(...board().images.map((each, i) => {
      const input = make("input", { type: "radio", name: "compare-image", value: String(i), checked: i === 0 });
      input.addEventListener("change", () => { image = i; draw(); });
      return make("label", {}, input, make("img", { src: each.image, alt: each.key }));
    }));
    draw();
  }

  function draw() {
    frame.style.aspectRatio = `${picture().width} / ${picture().height}`;
    frame.classList.toggle("blend", byId("compare-blend").checked);
    for (const name of ["left", "right"]) {
      const choice = selects[name].value, uri = source(choice), map = sides[name].querySelector(".map");
      sides[name].querySelector(".photo").src = picture().image;
      sides[name].classList.toggle("bare", !uri);
      sides[name].querySelector(".photo").alt = uri ? "" : `Photograph ${picture().key}`;
      map.hidden = !uri;
      map.alt = uri ? `${title(choice)} of ${picture().key}` : "";
      if (uri) map.src = uri; else map.removeAttribute("src");
      frame.querySelector(`.tag.${name}`).textContent = title(choice);
      pixels[name] = null;
      if (uri) readPixels(name, uri);
    }
    classes();
    move();
  }

  function move() {
    const at = Number(slider.value);
    frame.style.setProperty("--at", `${at}%`);
    slider.setAttribute("aria-valuetext", `${at} % ${title(selects.left.value)}, ${100 - at} % ${title(selects.right.value)}`);
  }

  function classes() {
    const shown = run(selects.right.value) ?? run(selects.left.value) ?? board().runs[0];
    const about = shown.pictures[image], table = byId("compare-classes");
    table.caption.textContent = `${shown.name} on ${picture().key}: mIoU ${score(about.miou)}, pixel accuracy ${score(about.accuracy)}`;
    table.tBodies[0].replaceChildren(...about.classes.map(([id, truth, found, iou]) => {
      const { name, color } = board().classes[id];
      const chip = make("span", { className: "chip" });
      chip.style.background = `rgb(${color})`;
      const cells = [percent(truth), percent(found), score(iou)].map((text) => make("td", { className: "number", textContent: text }));
      return make("tr", {}, make("th", { scope: "row" }, chip, name), ...cells);
    }));
  }

  function readPixels(name, uri) {
    const picked = make("img");
    picked.addEventListener("load", () => {
      if (source(selects[name].value) !== uri) return; // another one was chosen meanwhile
      const canvas = make("canvas", { width: picked.naturalWidth, height: picked.naturalHeight });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picked, 0, 0);
      pixels[name] = context.getImageData(0, 0, canvas.width, canvas.height);
    });
    picked.src = uri;
  }

  function classAt(name, x, y) {
    const data = pixels[name];
    if (!data) return null;
    const column = Math.min(data.width - 1, Math.floor(x * data.width)), row = Math.min(data.height - 1, Math.floor(y * data.height));
    const [r, g, b, opaque] = data.data.slice(4 * (row * data.width + column));
    if (!opaque) return "not labelled";
    const found = board().classes.filter(({ color }) => color[0] === r && color[1] === g && color[2] === b);
    return found.map((each) => each.name).join(" or ");
  }

  frame.addEventListener("pointermove", (event) => {
    const box = frame.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return;
    const parts = ["left", "right"].map((name) => [title(selects[name].value), classAt(name, x, y)]).filter(([, name]) => name);
    readout.textContent = parts.map(([who, name]) => `${who}: ${name}`).join(" · ") || "\u00a0";
  });
  frame.addEventListener("pointerleave", () => { readout.textContent = "\u00a0"; });
  slider.addEventListener("input", move);
  selects.board.replaceChildren(...page.boards.map((each, i) => new Option(each.title, String(i))));
  selects.board.addEventListener("change", offer);
  selects.left.addEventListener("change", draw);
  selects.right.addEventListener("change", draw);
  byId("compare-blend").addEventListener("change", draw);
  document.querySelector(".compare").hidden = false;
  offer();
}
