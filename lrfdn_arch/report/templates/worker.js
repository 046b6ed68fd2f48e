"use strict";
// Upscales one tile after another. It runs in a worker, after the script of ONNX Runtime.
const GRID = 6; // pixels per cell of the attention's map; tiles start on its multiples
const MIN_SIZE = 15; // smaller tiles are padded to it
const sessions = new Map();
let models;

self.onmessage = async ({ data }) => {
  try {
    if (data.models) {
      models = data.models;
      // A worker can import only blobs of its own. Threads would need a page from a server that
      // isolates it from other origins.
      const factory = URL.createObjectURL(new Blob([data.factory], { type: "text/javascript" }));
      Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: data.wasm, wasmPaths: { mjs: factory } });
      await session(Object.keys(models)[0]); // the first one is ready before it is needed
      return;
    }
    const pixels = await upscale(data);
    self.postMessage({ pixels }, [pixels.buffer]);
  } catch (error) {
    self.postMessage({ error: error?.message ?? String(error) });
  }
};

async function session(id) {
  if (!sessions.has(id)) sessions.set(id, ort.InferenceSession.create(models[id]));
  return sessions.get(id);
}

// Returns RGBA of the part `keep` of the upscaled tile; all places are in pixels of the picture.
async function upscale({ id, pixels, scale, windows, top, left, width, height, whole, keep }) {
  const network = await session(id);
  const count = width * height;
  const lq = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) lq[c * count + i] = pixels[4 * i + c] / 255;
  const feeds = { [network.inputNames[0]]: new ort.Tensor("float32", lq, [1, 3, height, width]) };
  if (windows) {
    Object.assign(feeds, sources("row", top, height, whole.height), sources("column", left, width, whole.width));
  }
  const results = await network.run(feeds);
  const sr = results[network.outputNames[0]];
  const stride = sr.dims[3];
  const plane = stride * sr.dims[2];
  const columns = (keep.right - keep.left) * scale;
  const rows = (keep.bottom - keep.top) * scale;
  const out = new Uint8ClampedArray(4 * columns * rows).fill(255); // clamps and rounds
  for (let y = 0, to = 0; y < rows; y++) {
    let from = ((keep.top - top) * scale + y) * stride + (keep.left - left) * scale;
    for (let x = 0; x < columns; x++, from++, to += 4) {
      for (let c = 0; c < 3; c++) out[to + c] = 255 * sr.data[c * plane + from];
    }
  }
  sr.dispose();
  return out;
}

// For each row or column of a tile: the two cells of the attention's map between which it lies and
// the share of the second one, as if the tile had not been cut from its picture.
function sources(axis, start, length, wholeLength) {
  length = Math.max(length, MIN_SIZE);
  wholeLength = Math.max(wholeLength, MIN_SIZE);
  const [all, own] = [cells(wholeLength), cells(length)];
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const first = new BigInt64Array(length);
  const second = new BigInt64Array(length);
  const share = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const place = clamp((start + i + 0.5) * (all / wholeLength) - 0.5, all - 1);
    const cell = clamp(place - start / GRID, own - 1);
    first[i] = BigInt(Math.floor(cell));
    second[i] = BigInt(Math.min(Math.floor(cell) + 1, own - 1));
    share[i] = cell - Math.floor(cell);
  }
  return {
    [`first_${axis}`]: new ort.Tensor("int64", first, [length]),
    [`second_${axis}`]: new ort.Tensor("int64", second, [length]),
    [`share_${axis}`]: new ort.Tensor("float32", share, [length]),
  };
}

function cells(length) {
  return Math.floor((Math.floor((length - 3) / 2) - 6) / 3) + 1;
}
