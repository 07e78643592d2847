/** Hearing of changes below a folder, as far as the system tells. */
import { relative } from "@std/path";

/** Calls with the name (relative to `root`) of what may have changed; with null where anything may have. */
export type Watch = (root: string, onChange: (name: string | null) => void) => Disposable;

/**
 * Watches by the system's own means (inotify on Linux), which may miss what happens right after a folder is made, and
 * know nothing of network disks: never the only way to learn of a change.
 * @throws what the system says, as where there are more folders than it can watch
 */
export const watchFolder: Watch = (root, onChange) => {
  const watcher = Deno.watchFs(root);
  (async () => {
    for await (const { kind, paths, flag } of watcher) {
      if (flag === "rescan") onChange(null);
      // Reading changes nothing, and we read ourselves.
      if (kind === "access") continue;
      for (const path of paths) {
        const name = relative(root, path);
        if (!name.startsWith("..")) onChange(name === "" ? null : name);
      }
    }
  })().catch(() => onChange(null));
  return { [Symbol.dispose]: () => watcher.close() };
};
