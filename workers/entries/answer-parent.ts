/** Answers calls in a browser's worker. Apart from `browser.ts`, so that the images' worker does not carry that. */

import { expose } from "comlink";
import { answering } from "../protocol/answer.js";
import { holdLivenessLock } from "../protocol/liveness.js";

/** Answers calls of the page, or of the worker, that started this one. */
export function answerParent(service: object): void {
  holdLivenessLock((name) => self.postMessage(name));
  expose(answering(service));
}
