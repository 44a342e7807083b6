/** Workers terminated while they add to an index, as a closed tab is: what was acknowledged is there, and each add whole or not at all. */

import { VectorIndex } from "clipwright/search";
import { expect, test } from "vitest";
import { checkKilledIndex } from "../check-killed-index";

const KILLS = 12;
const NAME = "killed";

/** Adds in a worker, and terminates it some time after an add was acknowledged; returns the numbers of those. */
async function killedAfter(from: number, milliseconds: number): Promise<number[]> {
  const worker = new Worker(new URL("./killed-index.worker.ts", import.meta.url), {
    type: "module",
    name: `${NAME}#${from}`,
  });
  const acknowledged: number[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }) => {
      if (typeof data !== "number") reject(new Error(data));
      if (acknowledged.length === 0) setTimeout(resolve, milliseconds);
      acknowledged.push(data);
    };
  });
  worker.terminate();
  return acknowledged;
}

test(`${KILLS} terminated workers lose nothing that was acknowledged`, async () => {
  const acknowledged: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    acknowledged.push(...(await killedAfter((acknowledged.at(-1) ?? -1) + 2, (kill * 7.3) % 50)));
    const index = await VectorIndex.open(NAME);
    await checkKilledIndex(index, acknowledged, kill);
    await index.close();
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS);
  await VectorIndex.delete(NAME);
});

test("on a full disk an add is refused whole, and the index goes on", async () => {
  const { cdp } = await import("vitest/browser");
  const send = (method: string, parameters: object): Promise<unknown> =>
    (cdp() as unknown as { send(method: string, parameters: object): Promise<unknown> }).send(method, parameters);
  const { origin } = location;
  const index = await VectorIndex.open("full", { dimension: 512, storage: "f32" });
  const batch = (from: number) =>
    Array.from({ length: 500 }, (_, i) => ({
      id: `${from + i}`,
      vector: Float32Array.from({ length: 512 }, (_, j) => Math.sin(from + i + j)),
    }));
  await index.add(batch(0));
  const used = (await navigator.storage.estimate()).usage ?? 0;
  await send("Storage.overrideQuotaForOrigin", { origin, quotaSize: used + 1_500_000 });
  let added = 500;
  let error: unknown;
  for (; error === undefined && added < 20_000; added += 500) {
    try {
      await index.add(batch(added));
    } catch (thrown) {
      error = thrown;
      break;
    }
  }
  expect((error as { code?: string }).code, String(error)).toBe("target-unwritable");
  expect(await index.size()).toBe(added);
  expect((await index.search(batch(0)[7]?.vector ?? [], { k: 1 }))[0]?.id).toBe("7");
  await send("Storage.overrideQuotaForOrigin", { origin });
  await index.add(batch(added));
  expect(await index.size()).toBe(added + 500);
  await index.close();
  await VectorIndex.delete("full");
});
