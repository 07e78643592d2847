/** What is simulated: the right servers, and servers with one guard broken each, which must be found out. */
import { wire } from "../../proto/mod.ts";
import type { Boot, Host } from "./process.ts";
import type { StoryOptions } from "./story.ts";
import { realServer } from "./machine.ts";

const right = realServer();
/** Longer than any story. */
const NEVER_MS = 1e9;

/** By name. */
export const variants = {
  /** Nothing is broken on purpose. */
  right: { boot: right, disk: {} },
  /** The disk says that it has synced, and has not: what was acknowledged may be gone after a crash. */
  "lying-disk": { boot: right, disk: { lies: true } },
  /** Bodies without block checksums: rotten bytes go out. */
  "rot-unseen": { boot: right, disk: { unguarded: true } },
  /** What comes in is not hashed: a wrong byte on the way is kept. */
  "digest-unchecked": { boot: right, disk: { credulous: true } },
  /** Servers acknowledge what only they have. */
  "one-copy": { boot: right, disk: {}, minCopies: 1 },
  /** A delete forgets the row, so that a server which was away brings the object back. */
  "no-tombstone": { boot: withStore(right, forgetting), disk: {} },
  /** A server says that it holds what it has only begun to fetch. */
  "held-too-early": { boot: boasting(right), disk: {} },
  /** Whoever missed a write at its time never hears of it. */
  "no-repair": { boot: realServer({ repairAfterMs: NEVER_MS }), disk: {} },
} as const satisfies Record<string, StoryOptions>;

/** The name of one. */
export type Variant = keyof typeof variants;

/** All names. */
export const variantNames = Object.keys(variants) as Variant[];

function withStore(boot: Boot, change: (store: Host["store"]) => void): Boot {
  return (host) => {
    change(host.store);
    return boot(host);
  };
}

function forgetting(store: Host["store"]): void {
  const put = store.put.bind(store);
  store.put = async (manifest) => {
    if (!manifest.deleted) return await put(manifest);
    const held = await store.get(manifest.path);
    if (held) await store.forget(manifest.path, held.version);
    return true;
  };
}

function boasting(boot: Boot): Boot {
  return async (host) => {
    const process = await boot(host);
    const { PULLING, HELD } = wire.OfferAnswer_Outcome;
    return {
      ...process,
      async answer(name, question, from) {
        const answer = await process.answer(name, question, from);
        if (name !== "offers") return answer;
        const { results } = answer as wire.OfferAnswer;
        for (const result of results) if (result.outcome === PULLING) result.outcome = HELD;
        return answer;
      },
    };
  };
}
