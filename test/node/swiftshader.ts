/** SwiftShader, the software Vulkan that Chromium brings, as the GPU of Node's tests. */

import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { chromium } from "playwright";

const FILE = "vk_swiftshader_icd.json";

/** Folders that have the files of an installed Chromium or Chrome; their commands are scripts elsewhere. */
const FOLDERS = [
  "/usr/lib/chromium",
  "/usr/lib/chromium-browser",
  "/opt/google/chrome",
  "/snap/chromium/current/usr/lib/chromium-browser",
];

/** Environment in which Vulkan has one device: SwiftShader. */
export function swiftShader(): Record<string, string> {
  const executable = process.env.CHROMIUM_PATH ?? chromium.executablePath();
  const folders = existsSync(executable) ? [dirname(realpathSync(executable)), ...FOLDERS] : FOLDERS;
  const file = folders.map((folder) => join(folder, FILE)).find(existsSync);
  if (!file) throw new Error(`no ${FILE} beside Chromium: looked in ${folders.join(", ")}`);
  // Mesa's layer, which chooses among devices, complains where there is no display
  return { VK_ICD_FILENAMES: file, VK_DRIVER_FILES: file, NODEVICE_SELECT: "1" };
}

/** Environment in which Vulkan has no device. */
export const NO_GPU = { VK_ICD_FILENAMES: "/nonexistent", VK_DRIVER_FILES: "/nonexistent" };
