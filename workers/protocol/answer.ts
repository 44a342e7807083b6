/**
 * Errors as values. comlink carries name, message and stack of an error and drops its `code`; its handlers belong to the app,
 * which may share this copy of comlink.
 */

import { ClipError, type ClipErrorCode, toClipError } from "./error.js";

/** An error in the place of a result. */
interface Failure {
  clipwrightFailure: { code: ClipErrorCode; message: string; stack: string | undefined };
}

const isFailure = (answer: unknown): answer is Failure =>
  typeof answer === "object" && answer !== null && "clipwrightFailure" in answer;

/** Returns a service whose methods return a `Failure` instead of throwing. A `WorkerClient` throws it again. */
export function answering<Service extends object>(service: Service): Service {
  return new Proxy(service, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return async (...values: unknown[]): Promise<unknown> => {
        try {
          return await method.apply(target, values);
        } catch (error) {
          const { code, message, stack } = toClipError(error);
          return { clipwrightFailure: { code, message, stack } } satisfies Failure;
        }
      };
    },
  });
}

/** Returns the result of a call, or throws its failure. */
export function resultOf<Result>(answer: Result): Result {
  if (!isFailure(answer)) return answer;
  const { code, message, stack } = answer.clipwrightFailure;
  const error = new ClipError(code, message);
  if (stack) error.stack = `${error.stack}\n    in the worker:\n${stack}`;
  throw error;
}
