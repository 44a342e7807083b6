/** Half precision: IEEE 754 binary16, NumPy's `f2`. Node 20 has no `Float16Array`. */

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** Rounds a number to half precision, ties to even; returns its 16 bits. What is too large becomes infinite. */
function toBits(value: number): number {
  single[0] = value;
  const sign = ((bits[0] as number) >>> 16) & 0x8000;
  const magnitude = (bits[0] as number) & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 2¹⁶ and more
  if (magnitude >= 0x38800000) {
    // a carry out of the mantissa raises the exponent, at last to infinity
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below 2⁻²⁵
  // subnormal: whole multiples of 2⁻²⁴
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const [whole, rest, tie] = [mantissa >>> shift, mantissa & ((1 << shift) - 1), 1 << (shift - 1)];
  return sign | (whole + (rest > tie || (rest === tie && whole & 1) ? 1 : 0));
}

/** Value of 16 bits. */
function fromBits(half: number): number {
  const [sign, exponent, mantissa] = [half & 0x8000 ? -1 : 1, (half >>> 10) & 31, half & 1023];
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

let table: Float32Array | undefined;

/** Values of halves, given as their bits. */
export function fromHalf(halves: Uint16Array): Float32Array<ArrayBuffer> {
  table ??= Float32Array.from({ length: 1 << 16 }, (_, half) => fromBits(half));
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = table[halves[i] as number] as number;
  return values;
}

/** Writes values as halves into `target`, as their bits. */
export function toHalf(values: Float32Array, target: Uint16Array): void {
  for (let i = 0; i < values.length; i++) target[i] = toBits(values[i] as number);
}
