/** What runs the code of a guide needs: its blocks, photographs, and a page in Chromium. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { createServer } from "vite";
import { launchChromium } from "./chromium";

/** Root of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Names of photographs among the fixtures. */
export const PHOTOS = ["scene_640x427.jpg", "exif6_120x80.jpg", "animated_50x64.webp"];

/** Path of one of them. */
export const photo = (name: string): string => join(ROOT, "test/fixtures/preprocess/images", name);

/** The first block of a language in a guide that has a text in it. */
export function blockOf(guide: string, language: string, has = ""): string {
  const text = readFileSync(join(ROOT, "docs/guide", guide), "utf8");
  const blocks = text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"));
  return [...blocks].map(([, code]) => code ?? "").find((code) => code.includes(has)) ?? "";
}

/** A page of a guide, served from a folder and open in Chromium. */
export interface GuidePage {
  tab: Page;
  url: string;
  /** Messages of the errors that nothing caught. */
  errors: string[];
  close(): Promise<void>;
}

/** Serves a guide's page as the index of a folder; `goto` is left to the caller. */
export async function serveGuide(folder: string, html: string): Promise<GuidePage> {
  writeFileSync(join(folder, "index.html"), `<!doctype html><title>guide</title>${html}`);
  const server = await createServer({
    configFile: false,
    logLevel: "error",
    root: folder,
    server: { host: "127.0.0.1", port: 0, watch: null, hmr: false, fs: { strict: false } },
  });
  await server.listen();
  const address = server.httpServer?.address();
  const browser = await launchChromium();
  const tab = await browser.newPage();
  const errors: string[] = [];
  tab.on("pageerror", (error) => errors.push(error.message));
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { tab, url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/`, errors, close };
}
