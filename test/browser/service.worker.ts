/** A service worker that tries to use clipwright, and posts the error. */

import { Clip, isClipError } from "clipwright";

self.addEventListener("message", async ({ source }) => {
  const error = await Clip.load("/models/").catch((error) => error);
  source?.postMessage(isClipError(error) ? { code: error.code, message: error.message } : String(error));
});
