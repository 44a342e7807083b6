/** How a page learns that a worker was killed: it gets the lock that the worker holds for as long as it lives. */

const PREFIX = "clipwright worker ";

/** Whether a message is the name of a worker's lock. */
export const isLivenessLock = (data: unknown): data is string => typeof data === "string" && data.startsWith(PREFIX);

/** Takes the lock of this worker and tells its name, where there are locks; resolves when that is done. */
export function holdLivenessLock(tell: (name: string) => void): Promise<void> {
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return Promise.resolve();
  const name = `${PREFIX}${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  return new Promise((told) => {
    locks.request(name, () => {
      tell(name);
      told();
      return new Promise(() => undefined);
    });
  });
}

/** A worker's worker, whose end is this worker's: the page is told of its lock, too. */
export function forwardLiveness(worker: Worker): Worker {
  worker.addEventListener("message", ({ data }) => isLivenessLock(data) && self.postMessage(data));
  return worker;
}
