// A clip's waveform with what was heard, what was marked and where it is.

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Highest magnitude in each of `columns` equal parts, 0..1. */
export function peaks(buffer, columns) {
  const samples = buffer.getChannelData(0);
  const part = samples.length / columns;
  return Array.from({ length: columns }, (_, column) => {
    let highest = 0;
    const end = Math.min(samples.length, Math.ceil((column + 1) * part));
    for (let i = Math.floor(column * part); i < end; i += 1) highest = Math.max(highest, Math.abs(samples[i]));
    return highest;
  });
}

export class Wave {
  #peaks = [];
  #columns = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.buffer = null;
    this.heard = [];
    this.marks = [];
    this.position = 0;
    this.current = false;
    this.longest = 0; // seconds of the longest clip on the screen: all share one scale
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Seconds at a horizontal place of the canvas. */
  at(clientX) {
    const box = this.canvas.getBoundingClientRect();
    return ((clientX - box.left) / box.width) * this.longest;
  }

  draw() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.buffer || !this.longest) return;
    this.#marks(pen, width, height);
    this.#bars(pen, width, height, ratio);
    this.#cursor(pen, width, height, ratio);
  }

  #x(seconds, width) { return (seconds / this.longest) * width; }

  #marks(pen, width, height) {
    pen.fillStyle = color("--mark");
    for (const [start, end] of this.marks) {
      pen.fillRect(this.#x(start, width), 0, Math.max(2, this.#x(end - start, width)), height);
    }
  }

  #bars(pen, width, height, ratio) {
    const step = 3 * ratio;
    const own = this.#x(this.buffer.duration, width);
    const columns = Math.max(1, Math.floor(own / step));
    if (columns !== this.#columns) { this.#peaks = peaks(this.buffer, columns); this.#columns = columns; }
    const plain = color("--wave");
    const heard = color("--wave-heard");
    this.#peaks.forEach((peak, column) => {
      const seconds = ((column + 0.5) / columns) * this.buffer.duration;
      const isHeard = this.heard.some(([from, to]) => seconds >= from && seconds <= to);
      const tall = Math.max(2 * ratio, Math.min(1, peak) ** 0.7 * (height - 2 * ratio));
      pen.fillStyle = isHeard ? heard : plain;
      pen.fillRect(column * step, (height - tall) / 2, 2 * ratio, tall);
    });
  }

  #cursor(pen, width, height, ratio) {
    if (!this.current) return;
    pen.fillStyle = color("--wave-now");
    pen.fillRect(Math.min(width - 2 * ratio, this.#x(this.position, width)), 0, 2 * ratio, height);
  }
}
