/** A tensor of a safetensors file. */
export interface GoldenTensor {
  shape: number[];
  data: Float32Array | Int32Array;
}

export function parseSafetensors(bytes: Uint8Array): {
  tensors: Map<string, GoldenTensor>;
  metadata: Record<string, string>;
};

export declare function renameTensors(
  bytes: Uint8Array,
  rename: (name: string) => string | undefined,
): Uint8Array<ArrayBuffer>;
