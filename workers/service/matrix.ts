import { transfer } from "comlink";
import type { Matrix } from "../protocol/encode.js";

/** Makes a matrix of row-major data, which is transferred to the page when a call returns it. */
export const toMatrix = (data: Float32Array, columns: number): Matrix =>
  transfer({ data, shape: [data.length / columns, columns] }, [data.buffer]);
