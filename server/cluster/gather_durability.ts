/** Gathers what `durability.ts` judges: what each origin lacks, asked of each that answers. */
import { type Manifest, versionFromWire, type wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/words.ts";
import type { Store } from "../store/store.ts";
import { durability, type ObjectName } from "./durability.ts";
import type { WantedTable } from "./ports.ts";

/** What is needed to gather it. */
export interface GatherOptions {
  /** Everybody on the list, ourselves first, each with its health. */
  servers: readonly wire.Server[];
  store: Pick<Store, "list" | "get">;
  wanted: Pick<WantedTable, "list">;
  /** Compares what we know with another server's, both ways; true where both know the same now. */
  equalise: (server: wire.Server) => Promise<boolean>;
  /** Asks another server what it lacks. */
  askLacks: (url: string, after: string) => Promise<wire.LacksPage>;
  minCopies: number;
  nowMs: number;
  log: Logger;
}

const PAGE = 1000;
/** Of a server that lacks more, nothing is believed to be there: that errs on the safe side. */
const MOST_LACKS = 100_000;

/** What would be lost, and what out of reach, if one machine, provider, … vanished now. */
export async function gatherDurability(options: GatherOptions): Promise<wire.Durability> {
  const { servers, minCopies, nowMs } = options;
  const places = servers.map(({ id, provider, region, labels, role, draining, health }) => ({
    id,
    provider,
    region,
    labels,
    role,
    draining,
    state: health?.state ?? "unknown",
  }));
  const [self, ...others] = servers;
  const lacks = new Map<string, ObjectName[] | "unasked">();
  const asked = others.filter(({ role }) => role === "origin").map(async (server) => {
    lacks.set(server.id, await lacksOf(server, options));
  });
  await Promise.all(asked);
  // Last of all: what the others know and we did not is known by now.
  const { objects, bytes, own } = await ourselves(options);
  lacks.set(self!.id, own);
  return durability({ places, objects, bytes, lacks, minCopies }, nowMs);
}

async function lacksOf(
  server: wire.Server,
  { equalise, askLacks, log }: GatherOptions,
): Promise<ObjectName[] | "unasked"> {
  if (server.health?.state !== "alive") return "unasked";
  try {
    if (!await equalise(server)) return "unasked";
    const found: ObjectName[] = [];
    for (let after = "";;) {
      const page = await askLacks(server.url, after);
      for (const { path, version, size } of page.lacks) {
        if (!version) continue;
        found.push({ path, version: versionFromWire(version), size: Number(size) });
      }
      if (page.next === "") return found;
      if (found.length > MOST_LACKS || page.next <= after) return "unasked";
      after = page.next;
    }
  } catch (error) {
    log.warn("cannot learn what a server lacks", { id: server.id, error: words(error) });
    return "unasked";
  }
}

/** Live objects that we know, and those of them whose bodies are not here. */
async function ourselves({ store, wanted }: GatherOptions) {
  let objects = 0;
  let bytes = 0;
  for (let after = "";;) {
    const { entries, more } = await store.list({ by: "path", after, limit: PAGE });
    for (const { manifest } of entries) {
      objects++;
      bytes += manifest.size;
      after = manifest.path;
    }
    if (!more) break;
  }
  const own: ObjectName[] = [];
  for (let after = "", page: Manifest[]; (page = wanted.list(after, PAGE)).length > 0;) {
    for (const { path, version, size } of page) {
      own.push({ path, version, size });
      after = path;
      const held = await store.get(path);
      const counted = held !== null && !held.deleted;
      objects += counted ? 0 : 1;
      bytes += size - (counted ? held.size : 0);
    }
  }
  return { objects, bytes, own };
}
