/** How errors cross the border: comlink by itself keeps only name, message and stack. Imported at both ends. */

import { transferHandlers } from "comlink";
import { ClipError, type ClipErrorCode, toClipError } from "./error.js";

interface WireError {
  code: ClipErrorCode;
  message: string;
  stack: string | undefined;
}

/** Registers the handler; doing so twice does no harm. */
export function registerTransferHandlers(): void {
  const builtIn = transferHandlers.get("throw");
  if (!builtIn) return;
  transferHandlers.set("throw", {
    canHandle: builtIn.canHandle,
    serialize({ value }: { value: unknown }): [WireError, Transferable[]] {
      const error = toClipError(value);
      return [{ code: error.code, message: error.message, stack: error.stack }, []];
    },
    deserialize({ code, message, stack }: WireError): never {
      const error = new ClipError(code, message);
      if (stack) error.stack = `${error.stack}\n    in the worker:\n${stack}`;
      throw error;
    },
  });
}
