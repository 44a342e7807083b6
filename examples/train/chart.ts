/** Line charts over training steps. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const HEIGHT = 200;

/** A line: its name, the CSS variable of its colour, its dashes. */
export interface Line {
  label: string;
  colour: string;
  dash?: number[];
}

/** A chart. Redraws at most once a frame, and when the colour scheme or the width changes. */
export class Chart {
  readonly #host: HTMLElement;
  readonly #lines: readonly Line[];
  readonly #name: string;
  #plot: uPlot | undefined;
  #data: [number[], ...number[][]];
  #frame = 0;

  constructor(host: HTMLElement, lines: readonly Line[]) {
    this.#host = host;
    this.#lines = lines;
    this.#name = host.getAttribute("aria-label") ?? "";
    this.#data = [[], ...lines.map(() => [])];
    this.#draw();
    new ResizeObserver(() => this.#plot?.setSize({ width: host.clientWidth, height: HEIGHT })).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  #draw(): void {
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    // browsers resolve light-dark() only on a real property
    const colour = (name: string) => {
      const probe = Object.assign(document.createElement("i"), { style: `color: var(${name})` });
      this.#host.append(probe);
      const value = getComputedStyle(probe).color;
      probe.remove();
      return value;
    };
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      font: `12px ${style.fontFamily}`,
    };
    this.#plot = new uPlot(
      {
        width: this.#host.clientWidth,
        height: HEIGHT,
        legend: { live: false, show: this.#lines.length > 1 },
        cursor: { y: false },
        scales: { x: { time: false }, y: { range: (_, min, max) => [Math.min(0, min ?? 0), (max || 1) * 1.05] } },
        axes: [axis, { ...axis, size: 48 }],
        series: [
          { label: "step" },
          ...this.#lines.map(({ label, colour: name, dash }) => ({
            label,
            stroke: colour(name),
            width: 2,
            spanGaps: true,
            ...(dash && { dash }),
          })),
        ],
      },
      this.#data,
      this.#host,
    );
  }

  /** Removes all points. */
  clear(): void {
    this.#data = [[], ...this.#lines.map(() => [])];
    this.#plot?.setData(this.#data);
    this.#host.setAttribute("aria-label", this.#name);
  }

  /** Adds one value for each line. A repeated step, as after a recovery, replaces its first values and all later ones. */
  add(step: number, ...values: number[]): void {
    const [steps] = this.#data;
    while ((steps.at(-1) ?? -1) >= step) for (const column of this.#data) column.pop();
    for (const [i, column] of this.#data.entries()) column.push(i === 0 ? step : (values[i - 1] as number));
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#plot?.setData(this.#data);
      // screen readers cannot read a canvas
      const last = this.#lines.map(({ label }, i) => `${label} ${this.#data[i + 1]?.at(-1)?.toPrecision(3)}`);
      this.#host.setAttribute("aria-label", `${this.#name}: ${last.join(", ")} at step ${this.#data[0].at(-1)}`);
    });
  }
}
