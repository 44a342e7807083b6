/** Places other than a page: an app's own workers, a service worker. */

import { expect, test } from "vitest";
import { answerOf } from "../support";

const PIXELS = 3 * 32 * 32;

test("in an app's own worker addresses are relative to its script", async () => {
  const worker = new Worker(new URL("./own.worker.ts", import.meta.url), { type: "module", name: "../fixtures/" });
  expect(await answerOf(worker)).toBe(PIXELS);
});

test("in a worker made from a Blob addresses are relative to its origin", async () => {
  const script = new Blob([`import ${JSON.stringify(new URL("./own.worker.ts", import.meta.url).href)}`]);
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), {
    type: "module",
    name: "test/fixtures/",
  });
  expect(await answerOf(worker)).toBe(PIXELS);
});

test("in a service worker loading fails by name", async () => {
  const registration = await navigator.serviceWorker.register(new URL("./service.worker.ts", import.meta.url).href, {
    type: "module",
  });
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  const answer = new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("message", ({ data }) => resolve(data));
    navigator.serviceWorker.startMessages();
  });
  worker?.postMessage("load");
  expect(await answer).toMatchObject({
    code: "platform-unsupported",
    message: expect.stringContaining("a service worker"),
  });
  await registration.unregister();
});
