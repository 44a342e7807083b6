/** An app that uses comlink itself, in the copy that clipwright uses. */

import { Clip, isClipError } from "clipwright";
import { expose, transferHandlers, wrap } from "comlink";
import { expect, test } from "vitest";

test("an app's errors stay its own while clipwright's worker runs", async () => {
  const failing = Clip.load({ weights: new Uint8Array(8), config: {}, tokenizer: {} }, { device: "cpu" });
  await expect(failing).rejects.toSatisfy(isClipError);
  const { port1, port2 } = new MessageChannel();
  expose(
    {
      fail(): void {
        throw new RangeError("the app's own");
      },
    },
    port1,
  );
  const app = wrap<{ fail(): void }>(port2);
  const error: unknown = await app.fail().catch((thrown: unknown) => thrown);
  expect(isClipError(error)).toBe(false);
  expect(error).toMatchObject({ name: "RangeError", message: "the app's own" });
  expect([...transferHandlers.keys()].sort()).toEqual(["proxy", "throw"]);
  port1.close();
  port2.close();
});
