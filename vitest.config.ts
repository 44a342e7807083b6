import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { CHROMIUM_FLAGS } from "./scripts/chromium.mjs";
import { modelServer } from "./test/model-server.mjs";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

// the tests import the built package by its name, as users do
const resolve = { alias: { clipwright: path("./dist/ts/index.js") } };

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        test: {
          name: "node",
          include: ["test/{shared,node}/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // the built package runs as Node runs it, not as Vite rewrites it
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        resolve,
        plugins: [{ name: "model-server", configureServer: (server) => void server.middlewares.use(modelServer) }],
        optimizeDeps: { include: ["comlink", "modern-tar", "papaparse"] },
        server: {
          headers: {
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
          },
        },
        test: {
          name: "chromium",
          include: ["test/{shared,browser}/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 120_000,
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
            instances: [{ browser: "chromium" }],
          },
        },
      },
    ],
  },
});
