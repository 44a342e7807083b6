/** The cache when the origin's storage quota is exhausted. */

import { Clip } from "clipwright";
import { expect, test } from "vitest";
import { cdp } from "vitest/browser";

const source = `${location.origin}/__models/quota/models/clip-quickgelu-p8/hf/`;

/** The provider's CDP session: its type is in Playwright's package only. */
const send = (method: string, parameters: object): Promise<unknown> =>
  (cdp() as unknown as { send(method: string, parameters: object): Promise<unknown> }).send(method, parameters);

test("on a full disk a model loads with a warning, and nothing is cached", async () => {
  const { origin } = location;
  const used = (await navigator.storage.estimate()).usage ?? 0;
  await send("Storage.overrideQuotaForOrigin", { origin, quotaSize: used + 200_000 });
  const clip = await Clip.load(source, { device: "cpu" });
  expect(clip.info.warnings).toEqual(["not cached: the disk, or this page's share of it, is full"]);
  expect((await clip.cache.list()).map(({ url }) => url)).not.toContain(source);
  expect((await clip.encodeText({ inputIds: new Int32Array(77).fill(1) })).shape).toEqual([1, 40]);
  clip.dispose();
  await send("Storage.overrideQuotaForOrigin", { origin });
  const kept = await Clip.load(source, { device: "cpu" });
  expect(kept.info.warnings).toEqual([]);
  expect((await kept.cache.list()).map(({ url }) => url)).toContain(source);
  await kept.cache.delete();
  kept.dispose();
});
