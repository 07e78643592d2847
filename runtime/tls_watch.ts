/** Files that are read again when they change: certificates are renewed under a program that runs. */

/** Watches until it is closed. */
export interface FileWatch extends Disposable {
  /** Looks now, in place of waiting for the next time. */
  check(): void;
}

/**
 * Calls `onChange` when one of the files is another than before (by time of change, size and inode). Looks every
 * `everyMs`, by `stat`: that sees files that are replaced, links that are turned, and file systems that tell nobody.
 */
export function watchFiles(
  paths: readonly string[],
  onChange: () => void,
  { everyMs = 30_000 }: { everyMs?: number } = {},
): FileWatch {
  const look = () => paths.map(fingerprint).join();
  let seen = look();
  const check = () => {
    const now = look();
    if (now === seen) return;
    seen = now; // before reading: what changes meanwhile is seen the next time
    onChange();
  };
  const timer = setInterval(check, everyMs);
  Deno.unrefTimer(timer);
  return { check, [Symbol.dispose]: () => clearInterval(timer) };
}

function fingerprint(path: string): string {
  try {
    const { mtime, size, ino } = Deno.statSync(path);
    return `${mtime?.getTime()}/${size}/${ino}`;
  } catch {
    return "none";
  }
}
