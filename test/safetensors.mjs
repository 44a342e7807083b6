/** Reads the F32 and I32 tensors of a safetensors file, by a reader that shares nothing with the one under test. */
export function parseSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)),
  );
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [from, to] = offsets;
    const data = bytes.slice(8 + headerLength + from, 8 + headerLength + to).buffer;
    if (dtype === "F32") tensors.set(name, { shape, data: new Float32Array(data) });
    if (dtype === "I32") tensors.set(name, { shape, data: new Int32Array(data) });
  }
  return { tensors, metadata };
}
