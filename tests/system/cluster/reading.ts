/** A reader: whole objects, through any server or the proxy; who gets an error tries once elsewhere, and no more. */
import { sha256 } from "../../../runtime/signature.ts";
import { type History, type State } from "./history.ts";
import { PATIENCE_MS } from "./node.ts";

/** Where something can be read. */
export interface Source {
  name: string;
  url: string;
  /** Counts its starts, and -1 while it is down: what was asked of one that fell meanwhile is no second failure. */
  generation: () => number;
}

/** How the reads went. */
export interface Readings {
  reads: number;
  retries: number;
  /** Answers that were right once, or elsewhere already: the newest had not come to that server yet. */
  stale: number;
  /** What must not be: each a line. */
  faults: string[];
}

/** One try: what was seen there, or why nothing could be. */
export async function look(url: string): Promise<{ state: State; deleted?: boolean } | { error: string }> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const bytes = await answer.bytes();
    if (answer.status === 200) return { state: sha256(bytes) };
    // The 404 of a delete says which; without that the server merely never heard of it.
    if (answer.status === 404) return { state: null, deleted: answer.headers.has("metacdn-version") };
    return { error: `${answer.status} ${new TextDecoder().decode(bytes).slice(0, 300)}` };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/**
 * Reads `path` at `first` and, where that fails, once more at what `elsewhere` names then. A 404 of what should be there
 * counts as a failure, but for that of a delete: what was written over it has not come to that server yet.
 */
export async function read(
  path: string,
  { first, elsewhere, history, readings }: {
    first: Source;
    elsewhere: () => Source;
    history: History;
    readings: Readings;
  },
): Promise<void> {
  readings.reads++;
  const failures: string[] = [];
  for (const next of [() => first, elsewhere]) {
    const source = next();
    const generation = source.generation();
    using now = history.reading(path);
    const seen = await look(source.url + path);
    if ("state" in seen) {
      if (seen.state !== null && !history.wasSent(path, seen.state)) {
        readings.faults.push(`${path} at ${source.name}: bytes that nobody ever wrote there: ${seen.state}`);
        return;
      }
      if (now.seen.has(seen.state)) return;
      if (seen.state !== null || seen.deleted) return void readings.stale++;
    }
    failures.push(`${source.name}: ${"error" in seen ? seen.error : "404"}`);
    if (failures.length === 1) readings.retries++;
    else if (source.generation() === generation) readings.faults.push(`${path}: ${failures.join("; then ")}`);
  }
}
