/** Draws the plots of docs/performance.md by Vega-Lite, as SVG. */

import * as vega from "vega";
import { compile } from "vega-lite";

const OURS = "#2563eb";
const THEIRS = "#9ca3af";

/** A plot with a background, so that it is legible on a dark page, too. */
async function svg(spec) {
  const config = { font: "sans-serif", view: { stroke: null }, axis: { labelLimit: 400, grid: false } };
  const { spec: compiled } = compile({ background: "white", padding: 16, config, ...spec });
  return new vega.View(vega.parse(compiled), { renderer: "none" }).toSVG();
}

/** Speed relative to the peer, of `{ group, task, ratio }`: a panel a group, a rule at 1. */
export function ratios(values, title) {
  const y = { field: "task", type: "nominal", sort: null, title: null };
  const axis = { values: [0.5, 1, 2, 4, 8, 16], format: "~r" };
  const scale = { type: "log", domain: [0.5, 16] };
  const x = { type: "quantitative", title: null, scale, axis };
  return svg({
    title: { text: title, anchor: "start" },
    data: { values },
    transform: [{ calculate: "max(datum.ratio, 1)", as: "end" }],
    facet: { field: "group", type: "nominal", sort: null, title: null, header: { labelAnchor: "start" } },
    columns: 2,
    spacing: 24,
    spec: {
      width: 240,
      layer: [
        {
          mark: { type: "bar", height: 12, color: OURS },
          encoding: { x: { ...x, field: "ratio" }, x2: { datum: 1 }, y },
        },
        { mark: { type: "rule", color: "#111827" }, encoding: { x: { ...x, datum: 1 } } },
        {
          mark: { type: "text", align: "left", dx: 4, fontSize: 10 },
          encoding: { x: { ...x, field: "end" }, y, text: { field: "ratio", type: "quantitative", format: ".2f" } },
        },
      ],
    },
  });
}

/** Milliseconds of `{ name, ms, ours }`, on a logarithmic scale. */
export function times(values, title) {
  return svg({
    title: { text: title, anchor: "start" },
    data: { values },
    width: 400,
    encoding: {
      y: { field: "name", type: "nominal", sort: null, title: null },
      x: {
        field: "ms",
        type: "quantitative",
        title: "ms",
        scale: { type: "log" },
        axis: { values: [300, 1e3, 3e3, 1e4, 3e4] },
      },
    },
    layer: [
      {
        mark: { type: "point", filled: true, size: 80 },
        encoding: {
          color: {
            field: "ours",
            type: "nominal",
            scale: { domain: [true, false], range: [OURS, THEIRS] },
            legend: null,
          },
        },
      },
      {
        mark: { type: "text", align: "left", dx: 8, fontSize: 10 },
        encoding: { text: { field: "ms", type: "quantitative", format: ",.0f" } },
      },
    ],
  });
}
