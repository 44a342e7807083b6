/** Carries a `ClipError` across the worker's border, of which comlink keeps name, message and stack. Registered at both ends. */

import { transferHandlers } from "comlink";
import { ClipError, type ClipErrorCode, toClipError } from "./error.js";

interface WireError {
  code: ClipErrorCode;
  message: string;
  stack: string | undefined;
}

/** Registers the handler; may be called twice. */
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
