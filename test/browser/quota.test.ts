/** The cache when the origin's share of the disk is used up. */

import { Clip } from "clipwright";
import { expect, test } from "vitest";
import { cdp } from "vitest/browser";

const source = `${location.origin}/__models/quota/models/clip-quickgelu-p8/hf/`;

/** The provider's session, whose type only Playwright's package has. */
const send = (method: string, parameters: object): Promise<unknown> =>
  (cdp() as unknown as { send(method: string, parameters: object): Promise<unknown> }).send(method, parameters);

test("a full disk keeps nothing, loads all the same, and says so", async () => {
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
