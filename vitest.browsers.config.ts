/**
 * `npm run test:browsers`: tests in the browsers that Debian packages. Firefox and WebKitGTK are not in `npm test`, for they are
 * hundreds of megabytes to install.
 */

import type { ViteDevServer } from "vite";
import { defineConfig } from "vitest/config";
import { ISOLATION_HEADERS } from "./scripts/chromium.mjs";
import { type Command, firefox, installed, webkit } from "./test/browsers/installed.ts";
import { modelServer } from "./test/model-server.mjs";

interface Page {
  /** Whether the page may share memory between threads. */
  isolated: boolean;
  /** Whether the browser must have WebGPU. */
  webgpu?: boolean;
  include: string[];
  exclude?: string[];
}

const project = (name: string, command: Command, { isolated, webgpu = false, include, exclude = [] }: Page) => ({
  plugins: [
    { name: "model-server", configureServer: (server: ViteDevServer) => void server.middlewares.use(modelServer) },
  ],
  // WebKit has no `using`
  oxc: { target: "es2022" },
  optimizeDeps: { include: ["comlink", "hyparquet", "hyparquet-compressors", "hyparquet-writer", "modern-tar"] },
  server: { headers: isolated ? ISOLATION_HEADERS : {} },
  test: {
    name,
    include,
    exclude,
    setupFiles: "test/browsers/dispose.ts",
    testTimeout: 300_000,
    hookTimeout: 120_000,
    provide: { published: process.env.CLIPWRIGHT_PUBLISHED === "true", webgpu },
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: installed(command),
      instances: [{ browser: command.browser }],
    },
  },
});

/** Caches, saved states and handles: WebKitGTK keeps no files for pages. */
const PRIVATE_FILES = "test/shared/{autosave,http,model-folders,sources}.test.ts";
const PARITY = "test/browsers/parity.test.ts";

export default defineConfig({
  test: {
    globalSetup: ["./scripts/bundle.mjs", "./test/browsers/reference.ts"],
    projects: [
      project("firefox", firefox(), { isolated: true, include: [PARITY, "test/shared/*.test.ts"] }),
      project("firefox-one-thread", firefox(), { isolated: false, include: [PARITY, "test/one-thread/*.test.ts"] }),
      // the blocklist names adapters in software
      project("firefox-webgpu", firefox({ "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true }), {
        isolated: true,
        webgpu: true,
        include: [PARITY, "test/shared/{models,training,tuning}.test.ts"],
      }),
      project("webkit", webkit({ sharing: true }), {
        isolated: true,
        include: [PARITY, "test/shared/*.test.ts"],
        exclude: [PRIVATE_FILES],
      }),
      project("webkit-as-installed", webkit(), { isolated: true, include: [PARITY] }),
      project("webkit-one-thread", webkit(), { isolated: false, include: [PARITY, "test/one-thread/*.test.ts"] }),
    ],
  },
});
