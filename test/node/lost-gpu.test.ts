/** A run whose GPU is lost: the test kills Chromium's GPU process. */

import { fileURLToPath } from "node:url";
import { createServer } from "vite";
import { expect, test } from "vitest";
import { launchChromium } from "./chromium";

const root = fileURLToPath(new URL("../..", import.meta.url));

// compiling the kernels twice takes SwiftShader a minute
test("a run resumes by itself from the last state, and reports it", { timeout: 400_000 }, async () => {
  const server = await createServer({
    configFile: false,
    logLevel: "error",
    root: `${root}/test/lost-gpu`,
    // another server of the repository would replace what this one bundled
    cacheDir: `${root}/node_modules/.vite/lost-gpu`,
    server: { host: "127.0.0.1", port: 0, watch: null, hmr: false, fs: { strict: false } },
  });
  await server.listen();
  const address = server.httpServer?.address();
  const browser = await launchChromium();
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/`);
  await tab.waitForFunction(() => document.querySelectorAll("li").length >= 3, undefined, { timeout: 200_000 });
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess" as never);
  await tab.waitForFunction(() => document.querySelector("output")?.value, undefined, { timeout: 200_000 });
  const outcome = await tab.locator("output").textContent();
  const steps = await tab.locator("li").allTextContents();
  await browser.close();
  await server.close();
  expect(outcome).toBe("done");
  const recovered = steps.filter((line) => line.includes("device-failed"));
  expect(recovered).toHaveLength(1);
  expect(steps.at(-1)).toMatch(/^4 /);
});
