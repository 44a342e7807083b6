/** The loss of every step against ln N. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const HEIGHT = 220;

/** A chart that redraws itself at most once a frame, and for the colour scheme and width at hand. */
export class LossChart {
  readonly #host: HTMLElement;
  #plot: uPlot | undefined;
  #steps: number[] = [];
  #losses: number[] = [];
  #untrained: number[] = [];
  #frame = 0;

  constructor(host: HTMLElement) {
    this.#host = host;
    this.#draw();
    new ResizeObserver(() => this.#plot?.setSize({ width: host.clientWidth, height: HEIGHT })).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  #data(): uPlot.AlignedData {
    return [this.#steps, this.#losses, this.#untrained];
  }

  #draw(): void {
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    // light-dark() is resolved only on a real property
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
        legend: { live: false },
        scales: { x: { time: false }, y: { range: (_, min, max) => [Math.min(0, min ?? 0), (max ?? 6) * 1.05] } },
        axes: [
          { ...axis, label: "step", labelSize: 18 },
          { ...axis, label: "loss", labelSize: 18, size: 44 },
        ],
        series: [
          { label: "step" },
          { label: "loss", stroke: colour("--accent"), width: 2, points: { show: false } },
          { label: "untrained (ln N)", stroke: colour("--muted"), dash: [6, 6], points: { show: false } },
        ],
      },
      this.#data(),
      this.#host,
    );
  }

  /** Starts anew. */
  clear(): void {
    this.#steps = [];
    this.#losses = [];
    this.#untrained = [];
    this.#plot?.setData(this.#data());
  }

  add(step: number, loss: number, batchSize: number): void {
    this.#steps.push(step);
    this.#losses.push(loss);
    this.#untrained.push(Math.log(batchSize));
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#plot?.setData(this.#data());
    });
  }
}
