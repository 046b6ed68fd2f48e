"use strict";
const byId = (id) => document.getElementById(id);

// Two overlaid images with a divider, zoom and pan.
class Stage {
  constructor(root) {
    this.root = root;
    this.layers = root.querySelector("#layers");
    this.left = root.querySelector("#left-canvas");
    this.right = root.querySelector("#right-canvas");
    this.divider = root.querySelector("#divider");
    this.split = 0.5; // of the stage's width
    this.zoom = 1; // screen pixels per image pixel
    this.fitted = true;
    this.offset = [0, 0]; // of the image's corner on the stage
    this.onZoom = () => {};
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.layout()).observe(root);
  }

  setSize(width, height) {
    if (this.left.width === width && this.left.height === height) return;
    for (const canvas of [this.left, this.right]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.fit();
  }

  get fitZoom() {
    const { clientWidth, clientHeight } = this.root;
    return Math.min(clientWidth / this.left.width, clientHeight / this.left.height);
  }

  fit() {
    this.fitted = true;
    this.layout();
  }

  zoomBy(factor, centre) {
    const [x, y] = centre ?? [this.root.clientWidth / 2, this.root.clientHeight / 2];
    const zoom = Math.min(Math.max(this.zoom * factor, this.fitZoom), 32);
    if (zoom <= this.fitZoom * 1.001) return this.fit();
    const grown = zoom / this.zoom; // keeps the point at the centre fixed
    this.offset = [x - (x - this.offset[0]) * grown, y - (y - this.offset[1]) * grown];
    this.zoom = zoom;
    this.fitted = false;
    this.layout();
  }

  pan(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.layout();
  }

  moveDivider(split) {
    this.split = Math.min(Math.max(split, 0), 1);
    this.layout();
  }

  layout() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (this.fitted) this.zoom = this.fitZoom;
    const size = [this.left.width * this.zoom, this.left.height * this.zoom];
    this.offset = [width, height].map((room, axis) =>
      size[axis] <= room
        ? (room - size[axis]) / 2
        : Math.min(0, Math.max(room - size[axis], this.offset[axis])));
    const [x, y] = this.offset;
    this.layers.style.transform = `translate(${x}px, ${y}px) scale(${this.zoom})`;
    this.layers.classList.toggle("pixels", this.zoom >= 2);
    const cut = (this.split * width - x) / this.zoom; // in image pixels
    this.right.style.clipPath = `inset(0 0 0 ${Math.max(0, cut)}px)`;
    this.left.style.clipPath = `inset(0 ${Math.max(0, this.left.width - cut)}px 0 0)`;
    this.divider.style.left = `${this.split * 100}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.split * 100)));
    this.root.classList.toggle("zoomed", !this.fitted);
    this.onZoom(this.zoom);
  }

  listen() {
    const root = this.root;
    root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.pointers.set(event.pointerId, this.place(event));
      this.grabbed = event.target.closest("#divider") || this.fitted ? "divider" : "image";
      root.setPointerCapture(event.pointerId);
      root.classList.toggle("panning", this.grabbed === "image");
      if (this.grabbed === "divider" && event.pointerType === "mouse") this.follow(event);
      if (event.pointerType === "mouse") {
        this.divider.focus({ preventScroll: true });
        event.preventDefault();
      }
    });
    root.addEventListener("pointermove", (event) => this.pointers.has(event.pointerId) && this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      root.addEventListener(end, (event) => {
        this.pointers.delete(event.pointerId);
        root.classList.remove("panning");
      });
    }
    root.addEventListener("dblclick", (event) =>
      this.fitted ? this.zoomBy(4, this.place(event)) : this.fit());
    root.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the plain wheel scrolls the page
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 300), this.place(event));
    }, { passive: false });
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    const now = this.place(event);
    const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.zoomBy(distance(now, other) / distance(before, other), middle);
    } else if (this.grabbed === "divider") {
      this.follow(event);
    } else {
      this.pan(now[0] - before[0], now[1] - before[1]);
    }
  }

  follow(event) {
    this.moveDivider(this.place(event)[0] / this.root.clientWidth);
  }

  place(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}
