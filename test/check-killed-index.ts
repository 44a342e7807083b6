/** What must be left of an index whose process or worker was killed while it added. */

import type { VectorIndex } from "clipwright/search";
import { expect } from "vitest";
import { itemsOf } from "./killed-index.mjs";

/** Every add that was acknowledged is there, and each add whole or not at all; the last one has its vectors, too. */
export async function checkKilledIndex(index: VectorIndex, acknowledged: readonly number[], kill: number) {
  const found = new Map<number, number>();
  for await (const { id, metadata } of index.items()) {
    const add = metadata?.add as number;
    expect(id).toBe(`${add}.${metadata?.i}`);
    found.set(add, (found.get(add) ?? 0) + 1);
  }
  for (const add of acknowledged) expect(found.has(add), `add ${add} after kill ${kill}`).toBe(true);
  for (const [add, count] of found) expect(count).toBe(itemsOf(add).length);
  expect(await index.size()).toBe([...found.values()].reduce((sum, count) => sum + count, 0));
  const last = itemsOf(acknowledged.at(-1) as number);
  const matches = await index.searchMany(
    last.map(({ vector }) => vector),
    { k: 1 },
  );
  for (const [i, [match]] of matches.entries()) {
    expect(match?.score).toBeCloseTo(1, 3);
    if (last[i]?.id !== match?.id) expect(match?.score).toBeGreaterThan(0.9999);
  }
}
