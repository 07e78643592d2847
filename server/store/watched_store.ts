/** A store whose changes are heard of, whoever makes them: {@link watchStore}. */
import type { Store } from "./store.ts";

/**
 * The same store; calls `changed` with each path whose manifest is another than before, or may be: before any other
 * event of the program can see it.
 */
export function watchStore(store: Store, changed: (path: string) => void): Store {
  return {
    get: (path) => store.get(path),
    stage: (source, expected) => store.stage(source, expected),
    open: (sha256, range) => store.open(sha256, range),
    list: (query) => store.list(query),
    async put(manifest) {
      try {
        return await store.put(manifest);
      } finally {
        changed(manifest.path);
      }
    },
    async forget(path, version) {
      try {
        return await store.forget(path, version);
      } finally {
        changed(path);
      }
    },
    get onLost() {
      return store.onLost;
    },
    set onLost(listener) {
      store.onLost = listener;
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
