/**
 * What would be lost, and what out of reach, if one machine, provider, region, jurisdiction or operator vanished now.
 * Pure.
 *
 * What nobody lacks is counted in bulk: only the exceptions are looked at one by one, and of them those with the same
 * holders together. So the work is (exceptions + sets of holders x groups), and never (objects x servers).
 */
import { create } from "@bufbuild/protobuf";
import { compareVersions, type Version, wire } from "../../proto/mod.ts";

/** One server on the list. */
export interface Place {
  id: string;
  provider: string;
  region: string;
  /** `jurisdiction` and `operator` are looked at. */
  labels: Readonly<Record<string, string>>;
  /** "origin" or "edge". An edge's copies never count. */
  role: string;
  /** As in `ServerHealth.state`. Only "self" and "alive" answer; what others hold is there, but out of reach. */
  state: string;
  /** It is not meant to hold everything any more; what it does hold counts as long as it is on the list. */
  draining: boolean;
}

/** An object's newest version, as far as whoever names it knows. */
export interface ObjectName {
  path: string;
  version: Version;
  /** In bytes. */
  size: number;
}

/** What has been gathered. Live objects only: a tombstone is no object. */
export interface DurabilityInput {
  places: readonly Place[];
  /** How many paths are known to anybody who was asked, and the bytes of the newest version of each. */
  objects: number;
  bytes: number;
  /**
   * By origin: all of these objects that it does not hold, be it that it says so or that it does not even know of them.
   * An origin that is "unasked", or not in here, counts as holding nothing. What a server that does not answer now
   * said earlier may stand here: then its copies count as copies out of reach. One that lacks too much to be listed may
   * be called "unasked": that errs on the safe side.
   */
  lacks: ReadonlyMap<string, readonly ObjectName[] | "unasked">;
  /**
   * Of these objects the ones that few hold, such as those that only another server knows of: each with the origins
   * that hold this version. A short way to say that all others lack it; they need not say so in `lacks`.
   */
  elsewhere?: readonly (ObjectName & { holders: readonly string[] })[];
  /** How many copies an upload waits for; only passed on. */
  minCopies: number;
}

/** The most paths that a risk names. */
const MAX_EXAMPLES = 5;

const KINDS = ["server", "provider", "region", "jurisdiction", "operator"] as const;

/** Servers that may vanish together. */
interface Group {
  kind: (typeof KINDS)[number];
  name: string;
  members: ReadonlySet<string>;
}

/** Objects that the same servers hold (two classes may have the same). */
interface Class {
  /** Origins that are known to hold them. */
  holders: readonly string[];
  /** Where nobody is: those who may have them, each by itself. */
  suspects: readonly string[];
  objects: number;
  bytes: number;
  /** The largest of them. */
  examples: ObjectName[];
}

/**
 * Judges each group of servers:
 * - *lost*: objects that it holds and nobody outside it does;
 * - *unreachable*: objects that it holds, and outside it only servers that do not answer now.
 *
 * What nobody is known to hold counts as lost with whoever may have it: the origins that could not be asked, else the
 * server that wrote it, even where that one is off the list.
 *
 * A path counts once, in its newest version: whoever lacks an older version lacks the newest one too. Where all origins
 * are in one group, everything is at risk with it. A region is named "provider/region", since providers fail apart.
 * Risks are sorted by lost objects, then by unreachable ones, the most first; examples are what is lost before what is
 * out of reach, the fewest copies first, then the largest.
 *
 * Objects below `minCopies` with two copies or more are no risk of a single machine, and show as its holders' risk in
 * the groups that those share, and as the others' lag.
 */
export function durability(input: DurabilityInput, nowMs: number): wire.Durability {
  const origins = input.places.filter(({ role }) => role === "origin");
  const unasked = origins.map(({ id }) => id).filter((id) => !Array.isArray(input.lacks.get(id))).sort();
  const asked = origins.map(({ id }) => id).filter((id) => Array.isArray(input.lacks.get(id))).sort();
  const answering = new Set(origins.filter(({ state }) => state === "self" || state === "alive").map(({ id }) => id));
  const classes = classesOf(input, asked, unasked);
  const groups = groupsOf(origins, classes.flatMap(({ suspects }) => suspects));
  const risks = groups.map((group) => riskOf(group, classes, answering)).filter((risk) => risk !== null);
  const kind = (risk: wire.Risk) => KINDS.indexOf(risk.kind as Group["kind"]);
  return create(wire.DurabilitySchema, {
    checkedMs: BigInt(nowMs),
    objects: BigInt(sum(classes, "objects")),
    bytes: BigInt(sum(classes, "bytes")),
    servers: origins.filter(({ draining }) => !draining).length,
    minCopies: input.minCopies,
    risks: risks.sort((a, b) =>
      Number(b.lostObjects - a.lostObjects) || Number(b.unreachableObjects - a.unreachableObjects) ||
      kind(a) - kind(b) || (a.name < b.name ? -1 : 1)
    ),
    unasked,
  });
}

/** The objects by who holds them; the first class is the bulk that every asked origin holds. */
function classesOf(input: DurabilityInput, asked: string[], unasked: string[]): Class[] {
  const exceptions = exceptionsOf(input, new Set(asked));
  const named = { objects: exceptions.size, bytes: 0 };
  const byHolders = new Map<string, Class>();
  for (const { object, holders: listed, lacking } of exceptions.values()) {
    named.bytes += object.size;
    // Ids have neither spaces nor commas in them.
    const key = `${listed?.join() ?? "*"} ${[...lacking].sort().join()} ${object.version.server}`;
    let found = byHolders.get(key);
    if (!found) {
      const holders = (listed ?? asked).filter((id) => !lacking.has(id));
      const suspects = holders.length > 0 ? [] : unasked.length > 0 ? unasked : [object.version.server];
      byHolders.set(key, found = { holders, suspects, objects: 0, bytes: 0, examples: [] });
    }
    found.objects++;
    found.bytes += object.size;
    keepLargest(found.examples, object);
  }
  const bulk: Class = {
    holders: asked,
    suspects: asked.length > 0 ? [] : unasked,
    // What was gathered while the world went on may not add up.
    objects: Math.max(0, input.objects - named.objects),
    bytes: Math.max(0, input.bytes - named.bytes),
    examples: [],
  };
  return [...(bulk.objects > 0 ? [bulk] : []), ...byHolders.values()];
}

interface Exception {
  /** The newest version that was named. */
  object: ObjectName;
  /** Who holds that version, where that was said outright; null: all asked origins but those that lack it. */
  holders: string[] | null;
  lacking: Set<string>;
}

function exceptionsOf({ lacks, elsewhere = [] }: DurabilityInput, asked: ReadonlySet<string>): Map<string, Exception> {
  const found = new Map<string, Exception>();
  /** The exception of the object's path, `holders` being those that are told of its newest version. */
  const at = (object: ObjectName, holders: string[] | null): Exception => {
    const known = found.get(object.path);
    if (!known) {
      const fresh = { object, holders, lacking: new Set<string>() };
      found.set(object.path, fresh);
      return fresh;
    }
    const order = compareVersions(object.version, known.object.version);
    if (order > 0) {
      // Who holds the older one does not hold this one.
      for (const id of known.holders ?? []) known.lacking.add(id);
      known.object = object;
      known.holders = holders;
    } else if (order < 0) { for (const id of holders ?? []) known.lacking.add(id); }
    else if (holders) known.holders = [...new Set([...known.holders ?? [], ...holders])].sort();
    return known;
  };
  for (const { holders, ...object } of elsewhere) at(object, holders.filter((id) => asked.has(id)).sort());
  for (const [id, list] of lacks) {
    if (!asked.has(id) || list === "unasked") continue;
    for (const object of list) at(object, null).lacking.add(id);
  }
  return found;
}

/** Every group that there is, of each kind; a suspect that is no origin stands for itself alone. */
function groupsOf(origins: readonly Place[], suspects: readonly string[]): Group[] {
  const names = (place: Place): Partial<Record<Group["kind"], string>> => ({
    server: place.id,
    provider: place.provider,
    region: `${place.provider}/${place.region}`,
    jurisdiction: place.labels.jurisdiction ?? "",
    operator: place.labels.operator ?? "",
  });
  return KINDS.flatMap((kind) => {
    const members = new Map<string, Set<string>>();
    const put = (name: string, id: string) => {
      if (name) members.set(name, (members.get(name) ?? new Set()).add(id));
    };
    for (const place of origins) put(names(place)[kind]!, place.id);
    if (kind === "server") { for (const id of suspects) put(id, id); }
    return [...members].map(([name, members]) => ({ kind, name, members }));
  });
}

/** What hangs on one group; null where nothing does. */
function riskOf({ kind, name, members }: Group, classes: readonly Class[], answering: ReadonlySet<string>) {
  const lost: Class[] = [];
  const unreachable: Class[] = [];
  for (const each of classes) {
    const outside = each.holders.filter((id) => !members.has(id));
    if (each.holders.length === 0) {
      if (each.suspects.some((id) => members.has(id))) lost.push(each);
    } else if (outside.length === each.holders.length) continue;
    else if (outside.length === 0) lost.push(each);
    else if (!outside.some((id) => answering.has(id))) unreachable.push(each);
  }
  if (lost.length + unreachable.length === 0) return null;
  const examples = (of: Class[]) =>
    of.flatMap(({ holders, examples }) => examples.map((object) => ({ copies: holders.length, object })))
      .sort((a, b) => a.copies - b.copies || largestFirst(a.object, b.object)).map(({ object }) => object.path);
  return create(wire.RiskSchema, {
    kind,
    name,
    lostObjects: BigInt(sum(lost, "objects")),
    lostBytes: BigInt(sum(lost, "bytes")),
    unreachableObjects: BigInt(sum(unreachable, "objects")),
    unreachableBytes: BigInt(sum(unreachable, "bytes")),
    examples: [...examples(lost), ...examples(unreachable)].slice(0, MAX_EXAMPLES),
  });
}

function keepLargest(examples: ObjectName[], object: ObjectName): void {
  const last = examples.at(-1);
  if (examples.length >= MAX_EXAMPLES && largestFirst(last!, object) <= 0) return;
  examples.push(object);
  examples.sort(largestFirst);
  examples.length = Math.min(examples.length, MAX_EXAMPLES);
}

function largestFirst(a: ObjectName, b: ObjectName): number {
  return b.size - a.size || (a.path < b.path ? -1 : a.path > b.path ? 1 : 0);
}

function sum(classes: readonly Class[], field: "objects" | "bytes"): number {
  return classes.reduce((total, each) => total + each[field], 0);
}
