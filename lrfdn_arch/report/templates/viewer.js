"use strict";
// Selection of the image and its two versions: selects, thumbnails, keys.
const Viewer = (() => {
  const pictures = JSON.parse(byId("pictures").textContent);
  if (!byId("viewer")) return null;
  const [ORIGINAL, TRUTH] = ["LR-bicubic", "HR"];
  const stage = new Stage(byId("stage"));
  const sides = { left: byId("left"), right: byId("right") };
  const ids = pictures.layers.map((layer) => layer.id);
  const caption = Object.fromEntries(pictures.layers.map((layer) => [layer.id, layer.caption]));
  const networks = ids.filter((id) => id !== ORIGINAL && id !== TRUTH);
  let current = 0;
  let showErrors = false;
  let drawing = 0; // discards outdated drawings when images load late

  for (const select of Object.values(sides)) {
    select.append(...ids.map((id) => new Option(caption[id], id)));
    select.addEventListener("change", draw);
  }
  sides.left.value = pictures.images.length ? networks[0] : ORIGINAL;
  sides.right.value = ids.find((id) => networks.includes(id) && id !== sides.left.value) ?? ids.find((id) => id !== sides.left.value);

  const thumbnails = [];
  const viewer = { add, draw, showOriginal, shown, onShow: () => {} };

  function addThumbnail(image, number) {
    const button = document.createElement("button");
    button.type = "button";
    const picture = new Image();
    picture.alt = "";
    picture.loading = "lazy";
    picture.src = image.thumbnail ?? image.src[ids[ids.length - 1]];
    const name = document.createElement("b");
    name.textContent = image.name;
    const note = document.createElement("small");
    note.textContent = image.note ?? (networks.length > 1 ? `differ by ${image.difference.toFixed(1)} levels` : "");
    button.append(picture, name, note);
    button.addEventListener("click", () => show(number));
    thumbnails.push(button);
    byId("thumbnails").append(button);
  }
  byId("legend-most").textContent = `${ErrorMap.most} grey levels and more`;
  ErrorMap.drawLegend(byId("legend-bar"));

  // Shows another image at its full size. A version in `src` is an address, or a function that
  // returns a canvas.
  async function add(image) {
    if (sides.left.value === sides.right.value) sides.right.value = networks[0];
    addThumbnail(image, pictures.images.push(image) - 1);
    await show(pictures.images.length - 1);
    if (stage.zoom < 1) stage.zoomBy(1 / stage.zoom);
  }

  function showOriginal() {
    sides.left.value = sides.right.value = ORIGINAL;
    draw();
  }

  function shown() {
    return { image: pictures.images[current], left: sides.left.value, right: sides.right.value };
  }

  function show(number) {
    current = (number + pictures.images.length) % pictures.images.length;
    thumbnails.forEach((button, n) => button.setAttribute("aria-pressed", String(n === current)));
    const { src } = pictures.images[current];
    byId("errors").disabled = !src[TRUTH];
    for (const select of Object.values(sides)) {
      for (const option of select.options) option.disabled = !src[option.value];
      if (!src[select.value]) select.value = select === sides.left ? ORIGINAL : networks.find((id) => src[id]);
    }
    const strip = byId("thumbnails");
    const chosen = thumbnails[current];
    strip.scrollTo({ left: chosen.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + chosen.clientWidth / 2 });
    return draw();
  }

  async function draw() {
    const mine = ++drawing;
    const image = pictures.images[current];
    if (!image) return;
    const withErrors = showErrors && image.src[TRUTH];
    const wanted = [sides.left.value, sides.right.value, ...(withErrors ? [TRUTH] : [])];
    const [left, right, truth] = await Promise.all(wanted.map((id) => load(image.src[id])));
    if (mine !== drawing) return;
    stage.setSize(left.width, left.height);
    for (const [canvas, source] of [[stage.left, left], [stage.right, right]]) {
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.clearRect(0, 0, canvas.width, canvas.height);
      if (withErrors) ErrorMap.draw(canvas, source, truth);
      else context.drawImage(source, 0, 0);
    }
    stage.layout();
    label(byId("left-tag"), image, sides.left.value);
    label(byId("right-tag"), image, sides.right.value);
    byId("legend").hidden = !withErrors;
    byId("caption").textContent = describe(image);
    byId("stage").dataset.shown = `${image.name} ${wanted.join(" ")}`;
    viewer.onShow();
  }

  const loaded = new Map();
  function load(src) {
    if (typeof src === "function") return src();
    if (!loaded.has(src)) {
      const picture = new Image();
      picture.src = src;
      loaded.set(src, picture.decode().then(() => picture));
    }
    return loaded.get(src);
  }

  function label(tag, image, id) {
    const name = document.createElement("b");
    name.textContent = caption[id];
    const score = image.scores[id];
    const psnr = Number(score?.psnr_rgb ?? NaN);
    tag.replaceChildren(name, Number.isNaN(psnr) ? "" : `${psnr.toFixed(2)} dB`);
  }

  function describe(image) {
    const [width, height] = image.size;
    if (image.note) return `${image.name}: ${image.note}`;
    const part = image.crop
      ? `a ${image.crop.side}×${image.crop.side} part at (${image.crop.left}, ${image.crop.top}) of ${width}×${height} pixels, where the networks differ most`
      : `${width}×${height} pixels`;
    const psnr = networks.map((id) => Number(image.scores[id]?.psnr_rgb ?? NaN));
    const gain = networks.length > 1 && !Number.isNaN(psnr[0] - psnr[1])
      ? `; ${caption[networks[0]]} is ${Math.abs(psnr[0] - psnr[1]).toFixed(2)} dB ${psnr[0] < psnr[1] ? "below" : "above"} ${caption[networks[1]]}`
      : "";
    return `${image.name}: ${part}${gain}`;
  }

  function swap() {
    [sides.left.value, sides.right.value] = [sides.right.value, sides.left.value];
    draw();
  }

  function toggleErrors() {
    if (byId("errors").disabled) return;
    showErrors = !showErrors;
    byId("errors").setAttribute("aria-pressed", String(showErrors));
    draw();
  }

  stage.onZoom = (zoom) => { byId("zoom-level").textContent = `${Math.round(zoom * 100)} %`; };
  byId("zoom-in").addEventListener("click", () => stage.zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => stage.zoomBy(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => stage.fit());
  byId("swap").addEventListener("click", swap);
  byId("errors").addEventListener("click", toggleErrors);

  const keys = {
    n: () => pictures.images.length && show(current + 1),
    p: () => pictures.images.length && show(current - 1),
    e: toggleErrors,
    s: swap,
    "+": () => stage.zoomBy(1.5),
    "=": () => stage.zoomBy(1.5),
    "-": () => stage.zoomBy(1 / 1.5),
    0: () => stage.fit(),
    Home: () => stage.moveDivider(0),
    End: () => stage.moveDivider(1),
    ArrowLeft: (far) => stage.moveDivider(stage.split - (far ? 0.1 : 0.01)),
    ArrowRight: (far) => stage.moveDivider(stage.split + (far ? 0.1 : 0.01)),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, input, .scroll")) return;
    const onDivider = event.target === stage.divider;
    if ((event.key === "Home" || event.key === "End") && !onDivider) return; // scroll the page
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
    if (digit && pictures.images[current]?.src[ids[digit - 1]]) {
      sides[event.shiftKey ? "right" : "left"].value = ids[digit - 1];
      draw();
    } else if (keys[event.key]) {
      keys[event.key](event.shiftKey);
    } else return;
    event.preventDefault();
  });

  pictures.images.forEach(addThumbnail);
  if (pictures.images.length) show(0);
  return viewer;
})();
