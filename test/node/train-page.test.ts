/** The training page in Chromium, by clicks and keys as users make them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unpackTar } from "modern-tar";
import type { Browser, Page } from "playwright";
import { createServer, type ViteDevServer } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchChromium } from "./chromium";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** 413 pairs, of which the page holds out every tenth. */
const shard = join(root, "examples/data/emoji-heldout.tar");

let server: ViteDevServer;
let browser: Browser;
let page: Page;
const errors: string[] = [];

beforeAll(async () => {
  server = await createServer({
    configFile: join(root, "examples/train/vite.config.ts"),
    root: join(root, "examples/train"),
    // another server of the repository would replace what this one bundled
    cacheDir: join(root, "node_modules/.vite/train-page"),
    logLevel: "error",
    server: { port: 0, strictPort: false, watch: null, hmr: false },
  });
  await server.listen();
  browser = await launchChromium();
  page = await browser.newPage();
  page.setDefaultTimeout(100_000);
  page.on("pageerror", (error) => errors.push(error.message));
  await open();
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

async function open(): Promise<void> {
  const address = server.httpServer?.address();
  await page.goto(`http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/`);
  await page.getByText("3,358 training pairs, 413 held out.").waitFor();
}

async function pickShard(): Promise<void> {
  await page.getByLabel("WebDataset shards").check();
  await page.getByLabel("One or several shards").setInputFiles(shard);
  await page.getByText("372 training pairs, 41 held out.").waitFor();
}

const stepsOf = async () =>
  Number(/^Step ?([\d,]+) of/.exec((await page.locator("#figures").textContent()) ?? "")?.[1]);

test("shows the estimate of a run before it begins, and refuses to begin without pairs", async () => {
  await page.getByText(/^About .* for 104 steps, and \d+ MB of memory\.$/).waitFor();
  await page.getByLabel("A folder of pictures").check();
  await page.getByText("Nothing picked yet.").waitFor();
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await page.getByText("Pick the pairs first.").waitFor();
  await pickShard();
  await page.getByLabel("CPU", { exact: true }).check();
  await page.getByLabel("Batch size").fill("32");
  await page.getByLabel("Epochs").fill("4");
  await page.getByText("More settings").click();
  await page.getByLabel("Evaluate every … steps").fill("4");
  await page.getByLabel("Save every … seconds").fill("5");
  await page.getByText(/^About .* for 44 steps/).waitFor();
});

test("trains, pauses and resumes, and shows progress", async () => {
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await page.getByRole("img", { name: /^Recall by step: R@1 .* at step 4$/ }).waitFor();
  await page.locator("#best li").nth(5).waitFor();
  await page.locator("#worst li").nth(5).waitFor();
  expect(await page.locator("#best li").count()).toBe(6);
  expect(await page.locator("#worst li").count()).toBe(6);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText(/^Paused after step \d+\.$/).waitFor();
  const paused = await stepsOf();
  await page.waitForTimeout(1500);
  expect(await stepsOf()).toBe(paused);
  expect(await page.getByLabel("Epochs").isDisabled()).toBe(true);
  await page.getByLabel("Description").fill("light skin tone");
  await page.locator("#results li").nth(11).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await expect.poll(stepsOf, { timeout: 60_000 }).toBeGreaterThan(paused + 1);
});

test("a closed tab resumes from its last state", async () => {
  // the save interval
  await page.waitForFunction(() => Number(JSON.parse(localStorage.getItem("clipwright-train") ?? "{}").step) > 4);
  await open();
  const [, saved] = /after step (\d+) of 44/.exec((await page.locator("#saved").textContent()) ?? "") ?? [];
  expect(Number(saved)).toBeGreaterThan(4);
  const goOn = page.getByRole("button", { name: "Go on with the saved run" });
  await goOn.click();
  await page.getByText("To go on, pick emoji-heldout.tar again as the pairs.").waitFor();
  await pickShard();
  await goOn.click();
  await page.getByText(/^Done after 44 steps\. R@1/).waitFor();
  expect(await page.getByRole("img", { name: /^Loss by step/ }).getAttribute("aria-label")).toMatch(/at step 44$/);
  expect(await page.locator("#search-note").textContent()).toBe("Searching all 413 pictures.");
  expect(await goOn.isHidden()).toBe(true);
});

test("exports the folders that transformers and OpenCLIP read", async () => {
  for (const [name, file] of [
    ["For transformers", "clip/model.safetensors"],
    ["For OpenCLIP", "clip/open_clip_model.safetensors"],
  ] as const) {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name, exact: true }).click(),
    ]);
    const entries = await unpackTar(readFileSync(await download.path()));
    const names = entries.map(({ header }) => header.name);
    expect(names).toContain(file);
    expect(names.length).toBeGreaterThan(3);
  }
});

test("stops after the current step, and works with the keyboard alone", async () => {
  await page.getByLabel("Batch size").fill("32");
  await page.getByLabel("Epochs").focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("200");
  await page.keyboard.press("Enter");
  // any step of this run, the only one with so many steps
  await page.getByText(/^\d+ of 2,200$/).waitFor();
  await page.getByRole("button", { name: "Stop" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText(/^Stopped after \d+ steps\./).waitFor();
  // every control has a name
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, select, button, summary")]
      .filter((control) => {
        const labels = (control as HTMLInputElement).labels ?? [];
        return ![...labels, control].some((label) => label.textContent?.trim());
      })
      .map(({ outerHTML }) => outerHTML),
  );
  expect(nameless).toEqual([]);
  expect(await page.locator("#status").getAttribute("role")).toBe("status");
});

test("fits the width of a phone", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(360);
  expect(errors).toEqual([]);
});
