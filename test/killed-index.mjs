/** The items of one add, of sizes that differ: what a test of killed indexes writes, and finds again. */

/** @param {number} add */
export const itemsOf = (add) =>
  Array.from({ length: 1 + ((add * 37) % 50) }, (_, i) => ({
    id: `${add}.${i}`,
    vector: Float32Array.from({ length: 16 }, (_, j) => Math.sin(add * 50 + i + j * (1 + i))),
    metadata: { add, i },
  }));
