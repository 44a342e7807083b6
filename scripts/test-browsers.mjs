/**
 * `npm run test:browsers`: tests in Firefox and WebKitGTK, which Debian packages. They are not in `npm test`, for they are hundreds of
 * megabytes to install. `-- webkit` or `-- firefox-webgpu` runs those whose names begin so.
 */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { fail, run } from "./jobs.mjs";
import { aptInstall, findProgram } from "./setup.mjs";

/** WebKitGTK's browser is not on the path: its library brings it, in a folder of the machine's architecture. */
function findMiniBrowser() {
  const folders = readdirSync("/usr/lib").filter((name) => name.endsWith("-linux-gnu"));
  return folders.map((name) => join("/usr/lib", name, "webkit2gtk-4.1", "MiniBrowser")).find(existsSync);
}

const findFirefox = () => findProgram("firefox-esr") ?? findProgram("firefox");

/** Software Vulkan, on which Firefox computes where there is no GPU. */
const hasVulkan = () => {
  const folder = "/usr/share/vulkan/icd.d";
  return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith("lvp_icd."));
};

/** Returns the paths of the browsers, as environment variables for the tests. */
async function setUpBrowsers() {
  const missing = [
    findFirefox() ? [] : ["firefox-esr"],
    hasVulkan() ? [] : ["mesa-vulkan-drivers"],
    findMiniBrowser() ? [] : ["libwebkit2gtk-4.1-0"],
    findProgram("xvfb-run") && findProgram("xauth") ? [] : ["xvfb", "xauth"],
  ].flat();
  if (missing.length > 0)
    await aptInstall(missing, `these Debian packages are needed: apt-get install ${missing.join(" ")}`);
  const paths = { FIREFOX_PATH: findFirefox(), MINI_BROWSER_PATH: findMiniBrowser() };
  for (const [name, path] of Object.entries(paths))
    if (!path) fail(`no browser for ${name} although its package is there`);
  return paths;
}

const unknown = process.argv.slice(2).find((name) => !/^(firefox|webkit)/.test(name));
if (unknown) fail(`unknown browser ${unknown}: npm run test:browsers takes firefox and webkit`);
const names = process.argv.slice(2).map((name) => `--project=${name}*`);
await build();
const env = { ...process.env, ...(await setUpBrowsers()) };
run("npx", ["vitest", "run", "--config", "vitest.browsers.config.ts", ...names], {
  env,
  orElse: "tests failed: see above",
});
