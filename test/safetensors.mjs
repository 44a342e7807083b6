/** Reads the F32 and I32 tensors of a safetensors file, independently of the reader under test. */
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

/** Renames the tensors of a file, and drops those for which `rename` returns nothing. */
export function renameTensors(bytes, rename) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const entries = Object.entries(JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))));
  const header = {};
  const parts = [];
  let at = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const renamed = name === "__metadata__" ? undefined : rename(name);
    if (renamed === undefined) continue;
    const part = bytes.subarray(start + offsets[0], start + offsets[1]);
    header[renamed] = { dtype, shape, data_offsets: [at, at + part.length] };
    parts.push(part);
    at += part.length;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  at = 8 + json.length;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}
