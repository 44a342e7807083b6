/** A picture of the model's size, different for each `seed`. */
export function picture(size, seed) {
  const data = new Uint8Array(size * size * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * 31 + (i >> 7) * 17 + seed * 101) % 256;
  return { data, width: size, height: size, channels: 3 };
}
