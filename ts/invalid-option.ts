/** The one message for an option whose value cannot be used. */

import { ClipError } from "../workers/error.js";

/** To be thrown. */
export function invalidOption(name: string, expected: string, got: unknown): ClipError {
  return new ClipError("invalid-option", `invalid option ${name}: expected ${expected}, got ${String(got)}`);
}

/** @throws ClipError `invalid-option` for anything but a whole number above 0 */
export function checkCount(option: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value > 0)) throw invalidOption(option, "a whole number above 0", value);
}
