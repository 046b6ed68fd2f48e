"use strict";
// Error map: mean absolute difference of the channels from the ground truth, dark to bright.
const ErrorMap = {
  most: 32, // grey levels; larger errors are clipped
  // Inferno-like: even steps in lightness, readable without seeing colour.
  stops: [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]],

  colour(level) {
    const place = Math.min(Math.max(level, 0), 1) * (this.stops.length - 1);
    const low = Math.min(Math.floor(place), this.stops.length - 2);
    return this.stops[low].map((from, c) => from + (this.stops[low + 1][c] - from) * (place - low));
  },

  draw(canvas, image, truth) {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const read = (source) => {
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    };
    const expected = read(truth).data;
    const result = read(image);
    const pixels = result.data;
    for (let i = 0; i < pixels.length; i += 4) {
      let sum = 0;
      for (let c = 0; c < 3; c++) sum += Math.abs(pixels[i + c] - expected[i + c]);
      const [r, g, b] = this.colour(sum / 3 / this.most);
      pixels[i] = r;
      pixels[i + 1] = g;
      pixels[i + 2] = b;
    }
    context.putImageData(result, 0, 0);
  },

  drawLegend(canvas) {
    const context = canvas.getContext("2d");
    for (let x = 0; x < canvas.width; x++) {
      context.fillStyle = `rgb(${this.colour(x / (canvas.width - 1)).join(" ")})`;
      context.fillRect(x, 0, 1, 1);
    }
  },
};
