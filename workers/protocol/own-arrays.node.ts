/** Answers in classes of the caller. Node makes what a worker posts in its own realm, of which the code of a Jest test is not. */

import { tagOf } from "./bytes.js";

/**
 * Replaces the typed arrays in an answer by views of the same memory that are of this realm, so that `instanceof` and the matchers of
 * tests know them.
 */
export function ownArrays<Answer>(answer: Answer): Answer {
  if (typeof answer !== "object" || answer === null) return answer;
  if (ArrayBuffer.isView(answer)) {
    const Own = (globalThis as unknown as Record<string, Uint8ArrayConstructor | undefined>)[tagOf(answer)];
    const { buffer, byteOffset, length } = answer as unknown as Uint8Array;
    return Own === undefined || answer instanceof Own
      ? answer
      : (new Own(buffer, byteOffset, length) as unknown as Answer);
  }
  const record = answer as Record<string, unknown>;
  for (const key of Object.keys(record)) record[key] = ownArrays(record[key]);
  return answer;
}
