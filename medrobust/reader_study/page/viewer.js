// One image on black: zoom about a point, move, window and level. Grey levels are 0 to 255; the whole of them is the window at the start.
const FULL = { zoom: 1, x: 0.5, y: 0.5, width: 255, level: 127.5, inverted: false };

class Viewer {
  constructor(box, peers) {
    this.box = box;
    this.peers = peers; // () => the viewers that move with this one, itself among them
    this.canvas = box.querySelector("canvas");
    this.readout = box.querySelector(".readout");
    this.source = document.createElement("canvas");
    this.view = { ...FULL };
    this.drag = "move";
    this.pointers = new Map();
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    box.addEventListener("pointerdown", (event) => this.onDown(event));
    box.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    box.addEventListener("contextmenu", (event) => event.preventDefault());
    box.addEventListener("dblclick", () => this.change((view) => ({ ...view, zoom: 1, x: 0.5, y: 0.5 })));
  }

  async show(image) {
    this.grey = null;
    this.view = { ...FULL };
    this.draw();
    const element = new Image();
    this.wanted = element;
    element.src = image.src;
    await element.decode();
    if (this.wanted !== element) return;
    this.source.width = element.naturalWidth;
    this.source.height = element.naturalHeight;
    const context = this.source.getContext("2d", { willReadFrequently: true });
    context.drawImage(element, 0, 0);
    this.levels = context.getImageData(0, 0, this.source.width, this.source.height);
    this.grey = new Uint8ClampedArray(this.levels.data.length / 4);
    for (let i = 0; i < this.grey.length; i++) this.grey[i] = this.levels.data[4 * i];
    this.window();
    this.draw();
  }

  // Apply a function of the view to this image and to those linked to it.
  change(make) {
    for (const viewer of this.peers(this)) {
      const before = viewer.view, after = make(before, viewer);
      after.zoom = Math.min(16, Math.max(1, after.zoom));
      after.width = Math.min(510, Math.max(4, after.width));
      after.level = Math.min(255, Math.max(0, after.level));
      const [fx, fy] = viewer.visible(after.zoom);
      after.x = Math.min(1 - fx / 2, Math.max(fx / 2, after.x));
      after.y = Math.min(1 - fy / 2, Math.max(fy / 2, after.y));
      viewer.view = after;
      if (after.width !== before.width || after.level !== before.level || after.inverted !== before.inverted) viewer.window();
      viewer.draw();
    }
  }

  // Share of the image's width and height that the box shows, each at most 1.
  visible(zoom) {
    const scale = this.fit() * zoom;
    return [Math.min(1, this.box.clientWidth / (this.source.width * scale)), Math.min(1, this.box.clientHeight / (this.source.height * scale))];
  }

  fit() {
    return Math.min(this.box.clientWidth / this.source.width, this.box.clientHeight / this.source.height);
  }

  window() {
    if (!this.grey) return;
    const { width, level, inverted } = this.view;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, v) => {
      const shown = ((v - level) / width + 0.5) * 255;
      return inverted ? 255 - shown : shown;
    });
    const data = this.levels.data;
    for (let i = 0; i < this.grey.length; i++) data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = table[this.grey[i]];
    this.source.getContext("2d").putImageData(this.levels, 0, 0);
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.box.clientWidth * ratio), height = Math.round(this.box.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    this.box.dataset.ready = this.grey ? "yes" : "no";
    if (!this.grey || !width || !height) return;
    const { zoom, x, y } = this.view, scale = this.fit() * zoom * ratio;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.setTransform(scale, 0, 0, scale, width / 2 - x * this.source.width * scale, height / 2 - y * this.source.height * scale);
    context.drawImage(this.source, 0, 0);
    this.readout.textContent = `zoom ${zoom.toFixed(1)}  window ${Math.round(this.view.width)}  level ${Math.round(this.view.level)}`;
  }

  zoomAt(factor, event) {
    const box = this.box.getBoundingClientRect(), scale = this.fit();
    const dx = event ? (event.clientX - box.left - box.width / 2) / (scale * this.source.width) : 0;
    const dy = event ? (event.clientY - box.top - box.height / 2) / (scale * this.source.height) : 0;
    this.change((view) => {
      const zoom = Math.min(16, Math.max(1, view.zoom * factor));
      return { ...view, zoom, x: view.x + dx / view.zoom - dx / zoom, y: view.y + dy / view.zoom - dy / zoom };
    });
  }

  move(dx, dy) { // in CSS pixels of the screen
    this.change((view, viewer) => {
      const scale = viewer.fit() * view.zoom;
      return { ...view, x: view.x - dx / (scale * viewer.source.width), y: view.y - dy / (scale * viewer.source.height) };
    });
  }

  adjust(width, level) { this.change((view) => ({ ...view, width: view.width + width, level: view.level + level })); }
  invert() { this.change((view) => ({ ...view, inverted: !view.inverted })); }
  reset() { this.change(() => ({ ...FULL })); }

  onWheel(event) {
    event.preventDefault();
    this.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event);
  }

  onDown(event) {
    this.box.focus({ preventScroll: true });
    this.box.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
  }

  onMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers.values()].filter((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.zoomAt(apart(event) / apart(before), { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 });
    } else if (this.drag === "window" || event.shiftKey || event.buttons === 2) {
      this.adjust(dx, -dy / 2);
    } else {
      this.move(dx, dy);
    }
    this.pointers.set(event.pointerId, event);
  }
}
