import { availableParallelism } from "node:os";
import { playwright } from "@vitest/browser-playwright";
import type { ViteDevServer } from "vite";
import { defineConfig } from "vitest/config";
import { CHROMIUM_FLAGS, ISOLATION_HEADERS } from "./scripts/chromium.mjs";
import { modelServer } from "./test/model-server.mjs";

/** They wait for servers, and run on a page of their own beside the others. */
const SERVERS = "test/shared/{http,sources}.test.ts";

/** Tests in headless Chromium; pages have threads where these headers come along. */
const chromium = (name: string, headers: Record<string, string>, include: string[], exclude: string[] = []) => ({
  plugins: [
    { name: "model-server", configureServer: (server: ViteDevServer) => void server.middlewares.use(modelServer) },
  ],
  optimizeDeps: { include: ["comlink", "hyparquet", "hyparquet-compressors", "hyparquet-writer", "modern-tar"] },
  server: { headers },
  test: {
    name,
    include,
    exclude,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    provide: { published: process.env.CLIPWRIGHT_PUBLISHED === "true", webgpu: headers === ISOLATION_HEADERS },
    // one page at a time: SwiftShader takes every core it finds
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          ...(process.env.CHROMIUM_PATH && { executablePath: process.env.CHROMIUM_PATH }),
          args: CHROMIUM_FLAGS,
        },
      }),
      instances: [{ browser: "chromium" as const }],
    },
  },
});

export default defineConfig({
  test: {
    // The tests import the package by its name, as users do: dist/ is bundled anew for each run. `npm test` bundles it once, for it runs
    // Vitest twice at the same time.
    ...(process.env.CLIPWRIGHT_BUNDLED !== "true" && { globalSetup: "./scripts/bundle.mjs" }),
    projects: [
      {
        test: {
          name: "node",
          include: ["test/{shared,node}/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Vitest leaves a core free, and so one worker to two: but these tests wait half of their time, for servers and browsers
          maxWorkers: Math.max(2, availableParallelism() - 1),
          // the built package runs as Node runs it, not as Vite rewrites it
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      chromium("chromium", ISOLATION_HEADERS, ["test/{shared,browser}/**/*.test.ts"], [SERVERS]),
      chromium("chromium-servers", ISOLATION_HEADERS, [SERVERS]),
      // most pages are not isolated: the module without threads gives the same numbers
      chromium("one-thread", {}, ["test/shared/{models,training}.test.ts", "test/one-thread/*.test.ts"]),
    ],
  },
});
