/**
 * What a worker has seen since it last told the main isolate, in few enough words: a busy worker sees thousands of
 * answers in a batch, and a window keeps the last few samples of each kind. So of every run of good answers of one
 * server only the last {@link MOST_OF_A_KIND} of each kind are told, and the bytes of the others as one.
 */
import type { Observation } from "./forwarding.ts";
import { LEAST_RATE_BYTES, MOST_SAMPLES } from "./window.ts";

/** More of them a window would forget. */
const MOST_OF_A_KIND = MOST_SAMPLES;

/** The last answers of one kind; once there are enough, the oldest is at `oldest`. */
interface Ring {
  last: Observation[];
  oldest: number;
}

/** Good answers of one server over connections that stood, with nothing else of that server between them. */
interface Run {
  /** Those that are samples of the round trip alone, and those that are samples of the rate too. */
  rings: [Ring | undefined, Ring | undefined];
  /** Bytes of those that are told no more. */
  restBytes: number;
}

/** 1 where an answer is a sample of the rate, else 0. */
function kindOf({ bytes, viewerBound }: Observation): 0 | 1 {
  return !viewerBound && bytes >= LEAST_RATE_BYTES ? 1 : 0;
}

/** Observations on their way. */
export class Batch {
  #told: (Observation | Run)[] = [];
  /** The run that each server's next good answer belongs to. */
  readonly #open = new Map<string, Run>();

  /** How many entries wait: runs, new connections and failures. */
  get length(): number {
    return this.#told.length;
  }

  /** Takes note of one. */
  add(observation: Observation): void {
    const { outcome, serverId, connectMs } = observation;
    if (outcome !== "ok" || connectMs) {
      // In its place among the others: what counts is how many failures come in a row, and what the round trip was
      // when a connection was made.
      this.#open.delete(serverId);
      this.#told.push(observation);
      return;
    }
    let run = this.#open.get(serverId);
    if (run === undefined) {
      this.#open.set(serverId, run = { rings: [undefined, undefined], restBytes: 0 });
      this.#told.push(run);
    }
    const ring = run.rings[kindOf(observation)] ??= { last: [], oldest: 0 };
    if (ring.last.length < MOST_OF_A_KIND) ring.last.push(observation);
    else {
      run.restBytes += ring.last[ring.oldest]!.bytes;
      ring.last[ring.oldest] = observation;
      ring.oldest = (ring.oldest + 1) % MOST_OF_A_KIND;
    }
  }

  /** What is to be told, in the order in which it was seen; none of it is left here. */
  take(): Observation[] {
    const told = this.#told.flatMap((entry) => "rings" in entry ? tell(entry) : entry);
    this.#told = [];
    this.#open.clear();
    return told;
  }
}

function tell({ rings, restBytes }: Run): Observation[] {
  const inOrder = rings.flatMap((ring) => ring?.last ?? []).sort((a, b) => a.atMs - b.atMs);
  if (restBytes === 0) return inOrder;
  // Bytes that count for usage, and no sample of anything.
  const rest: Observation = {
    ...inOrder[0]!,
    connectMs: null,
    headMs: null,
    bytes: restBytes,
    bodyMs: 0,
    viewerBound: true,
    size: null,
  };
  return [rest, ...inOrder];
}
