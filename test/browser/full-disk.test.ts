/** Autosave when the origin's storage quota is exhausted. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { cdp } from "vitest/browser";
import { colourPairs, tinyConfig } from "../support";

/** The provider's CDP session: its type is in Playwright's package only. */
const send = (method: string, parameters: object): Promise<unknown> =>
  (cdp() as unknown as { send(method: string, parameters: object): Promise<unknown> }).send(method, parameters);

test("the run goes on, warns once, keeps the last state, and saves again when there is room", async () => {
  const { origin } = location;
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const autosave = { to: "full-disk-test", every: 2, keep: 1 };
  const warned: [number, string[]][] = [];
  const saved: number[] = [];
  for await (const event of trainer.fit(colourPairs(8), { batchSize: 4, epochs: 6, autosave })) {
    if (event.warnings) warned.push([event.step, event.warnings.map(({ code }) => code)]);
    if (event.saved) saved.push(event.step);
    if (event.step === 3) await send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
    if (event.step === 7) {
      // the disk still has the last complete state
      const before = await ClipTrainer.resume(autosave.to, { device: "cpu" });
      const next = await before.resumeFit(colourPairs(8)).next();
      expect(next.value?.step).toBe(3);
      before.dispose();
    }
    if (event.step === 9) await send("Storage.overrideQuotaForOrigin", { origin });
  }
  expect(warned).toEqual([[4, ["autosave-failed"]]]);
  expect(saved).toEqual([2, 10, 12]);
  trainer.dispose();
  await (await navigator.storage.getDirectory()).removeEntry(autosave.to, { recursive: true });
});
