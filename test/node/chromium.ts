/** Chromium as Node's tests start it. */

import { type Browser, chromium } from "playwright";
import { CHROMIUM_FLAGS } from "../../scripts/chromium.mjs";

export function launchChromium(): Promise<Browser> {
  const { CHROMIUM_PATH } = process.env;
  return chromium.launch({ ...(CHROMIUM_PATH && { executablePath: CHROMIUM_PATH }), args: CHROMIUM_FLAGS });
}
