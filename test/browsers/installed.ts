/**
 * A provider of Vitest's browser mode that starts browsers as their users do, by a command: Debian's Firefox and WebKitGTK are
 * neither Playwright's patched builds nor WebDriver's, and Vitest itself needs no more than a page that opens its address.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { defineBrowserProvider } from "@vitest/browser";
import type { BrowserProvider } from "vitest/node";

/** How to start a browser. */
export interface Command {
  browser: "firefox" | "webkit";
  program: string;
  /** Its arguments, to open an address with an empty folder as its profile. */
  args(profile: string, url: string): string[];
  /** Files of the profile. */
  files?: Record<string, string>;
  /** Environment variables. */
  env?(profile: string): Record<string, string>;
}

class InstalledBrowser implements BrowserProvider {
  readonly name = "installed";
  readonly supportsParallelism = false;
  private readonly open: { browser: ChildProcess; profile: string }[] = [];

  constructor(private readonly command: Command) {}

  getCommandsContext() {
    return {};
  }

  async openPage(_session: string, url: string) {
    await this.close();
    const profile = mkdtempSync(join(tmpdir(), "clipwright-browser-"));
    const { program, args, files = {}, env } = this.command;
    for (const [name, text] of Object.entries(files)) writeFileSync(join(profile, name), text);
    const browser = spawn(program, args(profile, url), {
      // a group of its own, so that the processes it starts end with it
      detached: true,
      stdio: process.env.CLIPWRIGHT_BROWSER_LOG ? "inherit" : "ignore",
      env: { ...process.env, HOME: profile, ...env?.(profile) },
    });
    this.open.push({ browser, profile });
    // where the tests are interrupted
    process.once("exit", () => signal(browser, "SIGKILL"));
    browser.once("exit", (code) => {
      if (this.open.some((one) => one.browser === browser))
        console.error(`${program} ended by itself, with code ${code}: CLIPWRIGHT_BROWSER_LOG=1 shows what it said`);
    });
    await new Promise((resolve, reject) => {
      browser.once("spawn", resolve);
      browser.once("error", reject);
    });
  }

  async close() {
    for (const { browser, profile } of this.open.splice(0)) {
      await end(browser);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    }
  }
}

/** Sends a signal to a browser and the processes that it started. */
function signal({ pid }: ChildProcess, name: NodeJS.Signals) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch {
    // all have ended
  }
}

async function end(browser: ChildProcess) {
  if (browser.exitCode === null && browser.signalCode === null) {
    const ended = new Promise((resolve) => browser.once("exit", resolve));
    signal(browser, "SIGTERM");
    await Promise.race([ended, setTimeout(3000)]);
  }
  signal(browser, "SIGKILL");
}

/** Vitest's provider for a command. */
export const installed = (command: Command) =>
  defineBrowserProvider<Command>({
    name: "installed",
    options: command,
    providerFactory: () => new InstalledBrowser(command),
  });

/** Firefox without a window. */
export function firefox(preferences: Record<string, boolean> = {}): Command {
  const lines = Object.entries({
    // no requests of the browser's own, no pages of its own
    "app.normandy.enabled": false,
    "browser.aboutwelcome.enabled": false,
    "browser.safebrowsing.update.enabled": false,
    "datareporting.policy.dataSubmissionEnabled": false,
    "toolkit.telemetry.enabled": false,
    ...preferences,
  }).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);
  return {
    browser: "firefox",
    program: process.env.FIREFOX_PATH ?? "firefox-esr",
    args: (profile, url) => ["--headless", "--no-remote", "--profile", profile, url],
    files: { "user.js": lines.join("") },
  };
}

/** WebKitGTK's browser, on a display in memory; with `sharing`, isolated pages have `SharedArrayBuffer`, as in Safari. */
export const webkit = ({ sharing = false } = {}): Command => ({
  browser: "webkit",
  program: "xvfb-run",
  args: (_profile, url) => ["--auto-servernum", process.env.MINI_BROWSER_PATH ?? "MiniBrowser", url],
  env: (profile) => ({
    TMPDIR: profile,
    XDG_CACHE_HOME: join(profile, "cache"),
    XDG_DATA_HOME: join(profile, "data"),
    XDG_CONFIG_HOME: join(profile, "config"),
    XDG_RUNTIME_DIR: profile,
    ...(sharing && { JSC_useSharedArrayBuffer: "1" }),
  }),
});
