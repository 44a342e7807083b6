/** The error of an option whose value cannot be used. */

import { ClipError } from "../../workers/protocol/error.js";

/** Returns the error; the caller throws it. */
export function invalidOption(name: string, expected: string, got: string | number): ClipError {
  return new ClipError("invalid-option", `invalid option ${name}: expected ${expected}, got ${got}`);
}
