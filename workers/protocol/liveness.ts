/**
 * Tells a page that a worker was killed, which no event does: the worker holds a lock for as long as it lives, and the page
 * requests the same lock.
 */

const PREFIX = "clipwright worker ";

/** Whether a message is the name of a worker's lock. */
export const isLivenessLock = (data: unknown): data is string => typeof data === "string" && data.startsWith(PREFIX);

/** Takes this worker's lock and posts its name; resolves when the lock is taken, or at once if the platform has no locks. */
export function holdLivenessLock(post: (name: string) => void): Promise<void> {
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return Promise.resolve();
  const name = `${PREFIX}${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  return new Promise((taken) => {
    locks.request(name, () => {
      post(name);
      taken();
      return new Promise(() => undefined);
    });
  });
}

/** Forwards the lock of a worker's worker to the page, so that the end of either counts as the end of both. */
export function forwardLiveness(worker: Worker): Worker {
  worker.addEventListener("message", ({ data }) => isLivenessLock(data) && self.postMessage(data));
  return worker;
}
