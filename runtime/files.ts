/** What Deno's files lack. */

/** Makes a file's bytes durable. */
export async function syncFile(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.sync();
}

/**
 * Makes a folder's names durable, all that were there when it was called. Windows has no such thing, and
 * needs none. Who asks while the disk is at it waits for the next turn, which serves all who asked meanwhile.
 */
export const syncFolder: (path: string) => Promise<void> = inTurns(async (path) => {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
});

/** Writes all of `bytes` where the file stands. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** As {@link writeAll}, in one tick. */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

/** What both give, once both are over. */
export async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return await Promise.all([a, b]);
}

/** For `catch`: what is to be removed need not be there. */
export function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** What `work` gives; null where what it asks for is not there. */
export function ifThere<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    ignoreMissing(error);
    return null;
  }
}

/** As `work`, but never twice at a time for one key: a run serves all who asked before it began. */
export function inTurns(work: (key: string) => Promise<void>): (key: string) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const waiting = new Map<string, Promise<void>>();

  function run(key: string): Promise<void> {
    const done = work(key).finally(() => {
      if (running.get(key) === done) running.delete(key);
    });
    running.set(key, done);
    return done;
  }

  return (key) => {
    const before = running.get(key);
    if (!before) return run(key);
    let next = waiting.get(key);
    if (!next) {
      next = before.catch(() => {}).then(() => {
        waiting.delete(key);
        return run(key);
      });
      waiting.set(key, next);
    }
    return next;
  };
}
