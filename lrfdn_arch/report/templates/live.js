"use strict";
// Upscales the reader's own pictures with the networks in the page. Nothing leaves the page: its
// Content-Security-Policy forbids connections.
(() => {
  const live = JSON.parse(byId("live").textContent);
  const MOST_SIDE = 16384; // of a result: the largest canvas
  const MOST_PIXELS = 64e6; // of a result, four bytes each in about four copies
  const TILES = [512, 384, 320, 256]; // sides to choose from
  const GRID = 6; // tiles start on its multiples
  const CORES = Math.min(navigator.hardwareConcurrency || 2, 8);
  const ORIGINAL = "LR-bicubic";
  const queue = []; // one job per picture and network
  let workers = [];
  let working = false;
  let stop = () => {};
  let unpacked;

  async function open(file) {
    say("");
    try {
      const picture = await read(file);
      document.body.classList.remove("empty");
      await Viewer.add(picture);
    } catch (error) {
      say(error.message);
    }
  }

  async function read(file) {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name} is not a picture that this browser can open`);
    });
    const { width, height } = bitmap;
    const size = [width * live.scale, height * live.scale];
    if (Math.max(...size) > MOST_SIDE || size[0] * size[1] > MOST_PIXELS) {
      throw new Error(
        `${file.name} has ${width}×${height} pixels; this page takes pictures of up to ` +
        `${Math.round(MOST_PIXELS / live.scale ** 2 / 1e5) / 10} megapixels, “lrfdn upscale” larger ones`);
    }
    const enlarged = canvasOf(...size);
    const context = enlarged.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, ...size);
    const picture = { width, height, enlarged, ...colors(bitmap) };
    const results = Object.fromEntries(live.networks.map((network) => [network.id, null]));
    return {
      name: file.name,
      size: [width, height],
      note: `${width}×${height} pixels`,
      scores: {},
      thumbnail: URL.createObjectURL(file),
      src: {
        [ORIGINAL]: () => enlarged,
        ...Object.fromEntries(live.networks.map((network) => [network.id, () => {
          results[network.id] ??= enqueue(picture, network, file.name, () => { results[network.id] = null; });
          return results[network.id].canvas;
        }])),
      },
      result: (id) => (results[id]?.done ? results[id].canvas : null),
    };
  }

  // RGBA of a picture; where it is transparent, the colors of what is visible nearby.
  function colors(bitmap) {
    const canvas = canvasOf(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const pixels = () => context.getImageData(0, 0, canvas.width, canvas.height).data;
    const transparent = pixels().some((value, i) => i % 4 === 3 && value < 255);
    if (transparent) {
      context.globalCompositeOperation = "destination-over";
      for (let reach = 1; reach <= 32; reach *= 2) {
        for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) context.drawImage(canvas, x * reach, y * reach);
      }
    }
    return { pixels: pixels(), transparent };
  }

  function enqueue(picture, network, name, forget) {
    const canvas = canvasOf(picture.enlarged.width, picture.enlarged.height);
    canvas.getContext("2d").drawImage(picture.enlarged, 0, 0);
    const job = { picture, network, name, canvas, forget, done: false };
    queue.push(job);
    if (!working) work();
    return job;
  }

  async function work() {
    working = true;
    byId("work").hidden = false;
    while (queue.length) {
      const job = queue[0];
      try {
        const start = performance.now();
        await Promise.race([upscale(job), new Promise((_, reject) => { stop = reject; })]);
        job.done = true;
        const seconds = (performance.now() - start) / 1000;
        say(`${job.name} by ${job.network.id}: ${seconds.toFixed(1)} s`);
        byId("work").dataset.done = `${job.name} ${job.network.id}`;
        byId("work").dataset.seconds = seconds;
      } catch (error) {
        dismiss();
        queue.forEach((dropped) => dropped.forget());
        queue.length = 0;
        say(error.message);
        Viewer.showOriginal();
      }
      queue.shift();
      Viewer.draw();
      showSave();
    }
    byId("work").hidden = true;
    working = false;
  }

  async function upscale(job) {
    const { picture, network, canvas } = job;
    const tiles = cut(picture, network);
    report(job, 0, tiles.length);
    const crew = await hire(Math.min(CORES, tiles.length));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    let next = 0;
    let finished = 0;
    await Promise.all(crew.map(async (worker) => {
      while (next < tiles.length) {
        const tile = tiles[next++];
        const pixels = await ask(worker, message(picture, network, tile));
        const place = tile.keep;
        const [x, y] = [place.left * network.scale, place.top * network.scale];
        const image = new ImageData(pixels, (place.right - place.left) * network.scale);
        if (picture.transparent) {
          const alpha = picture.enlarged.getContext("2d").getImageData(x, y, image.width, image.height).data;
          for (let i = 3; i < alpha.length; i += 4) image.data[i] = alpha[i];
        }
        context.putImageData(image, x, y);
        report(job, ++finished, tiles.length);
        Viewer.draw();
      }
    }));
  }

  // Tiles share at least the network's overlap, and the middle of it belongs to one of them. Their
  // height and width are those with which all workers together are done first.
  function cut({ width, height }, network) {
    const sides = TILES.map((side) => Math.max(side, 2 * network.overlap));
    const plans = sides.flatMap((high) => sides.map((wide) => {
      const columns = spans(width, wide, network.overlap);
      const tiles = spans(height, high, network.overlap).flatMap((row) => columns.map((column) => ({
        top: row.start, height: row.stop - row.start, left: column.start, width: column.stop - column.start,
        keep: { top: row.from, bottom: row.to, left: column.from, right: column.to },
      })));
      const cost = Math.ceil(tiles.length / CORES) * Math.min(high, height) * Math.min(wide, width);
      return { tiles, cost };
    }));
    return plans.reduce((best, plan) => (plan.cost < best.cost ? plan : best)).tiles;
  }

  function spans(length, tile, overlap) {
    const starts = [0];
    if (length > tile) {
      const step = Math.floor((tile - overlap) / GRID) * GRID;
      const last = Math.ceil((length - tile) / GRID) * GRID;
      for (let start = step; start < last; start += step) starts.push(start);
      starts.push(last);
    }
    const stop = (i) => Math.min(starts[i] + tile, length);
    const seam = (i) => Math.round((stop(i - 1) + starts[i]) / 2); // before tile i
    return starts.map((start, i) => ({
      start, stop: stop(i), from: i ? seam(i) : 0, to: i + 1 < starts.length ? seam(i + 1) : length,
    }));
  }

  function message(picture, network, tile) {
    const pixels = new Uint8ClampedArray(4 * tile.width * tile.height);
    for (let y = 0; y < tile.height; y++) {
      const from = 4 * ((tile.top + y) * picture.width + tile.left);
      pixels.set(picture.pixels.subarray(from, from + 4 * tile.width), 4 * y * tile.width);
    }
    const whole = { width: picture.width, height: picture.height };
    return { id: network.id, scale: network.scale, windows: network.windows, pixels, whole, ...tile };
  }

  function ask(worker, data) {
    return new Promise((resolve, reject) => {
      worker.onmessage = (event) => (event.data.error ? reject(new Error(event.data.error)) : resolve(event.data.pixels));
      worker.onerror = (event) => reject(new Error(event.message || "the browser refuses to start a worker"));
      worker.postMessage(data, [data.pixels.buffer]);
    });
  }

  async function hire(count) {
    const { script, ...contents } = await (unpacked ??= unpack());
    while (workers.length < count) {
      const worker = new Worker(script);
      worker.postMessage(contents);
      workers.push(worker);
    }
    return workers.slice(0, count);
  }

  function dismiss() {
    workers.forEach((worker) => worker.terminate());
    workers = [];
  }

  async function unpack() {
    const { script, factory, wasm } = live.runtime;
    const models = live.networks.map(async ({ id, onnx }) => [id, new Uint8Array(await inflate(onnx))]);
    return {
      script: URL.createObjectURL(new Blob([await inflate(script), "\n", live.worker])),
      factory: await inflate(factory),
      wasm: await inflate(wasm),
      models: Object.fromEntries(await Promise.all(models)),
    };
  }

  function inflate(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  function canvasOf(width, height) {
    return Object.assign(document.createElement("canvas"), { width, height });
  }

  function say(text) {
    byId("message").textContent = text;
  }

  function report(job, finished, count) {
    byId("progress").value = finished / count;
    const waiting = queue.length > 1 ? `; ${queue.length - 1} more to do` : "";
    byId("doing").textContent = `${job.name} by ${job.network.id}: ${finished} of ${count} ${count === 1 ? "tile" : "tiles"}${waiting}`;
  }

  function shownResult() {
    const { image, right, left } = Viewer.shown();
    const id = [right, left].find((side) => image?.result?.(side));
    return id ? { image, canvas: image.result(id) } : null;
  }

  function showSave() {
    byId("save").disabled = !shownResult();
  }

  function save() {
    const { image, canvas } = shownResult();
    canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${image.name.replace(/\.[^.]*$/, "")}_x${live.scale}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }, "image/png");
  }

  Viewer.onShow = showSave;
  const input = byId("file");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    [...input.files].forEach(open);
    input.value = ""; // the same file can be chosen again
  });
  byId("cancel").addEventListener("click", () => stop(new Error("Canceled")));
  byId("save").addEventListener("click", save);
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", ["dragenter", "dragover"].includes(kind));
      if (kind === "drop") [...event.dataTransfer.files].forEach(open);
    });
  }
  window.addEventListener("paste", (event) => [...event.clipboardData.files].forEach(open));
  if (document.body.classList.contains("empty")) hire(1).catch((error) => say(error.message)); // before it is needed
})();
