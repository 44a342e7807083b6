/** A tensor of a safetensors file. */
export interface GoldenTensor {
  shape: number[];
  data: Float32Array | Int32Array;
}

export function parseSafetensors(bytes: Uint8Array): {
  tensors: Map<string, GoldenTensor>;
  metadata: Record<string, string>;
};
