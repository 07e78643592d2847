/** S3-FIFO and W-TinyLFU as the cache has them, and their peers. */
import { type Linked, List } from "../../server/edge/cache/list.ts";
import { Ghosts, type Item, S3Fifo, use } from "../../server/edge/cache/s3_fifo.ts";
import { type TinyItem, TinyLfu } from "../../server/edge/cache/tiny_lfu.ts";
import type { Request } from "./traces.ts";

/** A cache of a number of bytes. */
export interface Policy {
  /** Whether the object was there; from then on it may be. */
  ask(request: Request): boolean;
}

/** All that are compared, by name. `requests` is what will be asked, for those who may know. */
export const policies: Record<string, (limit: number, requests: readonly Request[]) => Policy> = {
  "LRU": (limit) => new Lru(limit),
  "S3-FIFO": (limit) => new S3(limit),
  "W-TinyLFU": (limit) => new WTinyLfu(limit, false),
  "W-TinyLFU by size": (limit) => new WTinyLfu(limit, true),
  "Belady": (limit, requests) => new Belady(limit, requests),
};

class Lru implements Policy {
  readonly #objects = new Map<number, Held>();
  readonly #order = new List<Held>();

  constructor(readonly limit: number) {}

  ask({ key, bytes }: Request): boolean {
    const held = this.#objects.get(key);
    if (held) {
      this.#order.remove(held);
      this.#order.append(held);
      return true;
    }
    if (bytes > this.limit) return false;
    while (this.#order.bytes + bytes > this.limit) {
      const oldest = this.#order.first()!;
      this.#order.remove(oldest);
      this.#objects.delete(oldest.key);
    }
    const item: Held = { key, bytes, frequency: 0, main: false, print: 0, before: null, after: null };
    this.#objects.set(key, item);
    this.#order.append(item);
    return false;
  }
}

interface Held extends Item, Linked {
  key: number;
}

class S3 implements Policy {
  readonly #objects = new Map<number, Held>();
  readonly #policy = new S3Fifo<Held>(new List(), new List(), new Ghosts());

  constructor(readonly limit: number) {}

  ask({ key, bytes }: Request): boolean {
    const held = this.#objects.get(key);
    if (held) {
      use(held);
      return true;
    }
    if (bytes > this.limit) return false;
    while (this.#policy.bytes + bytes > this.limit) this.#objects.delete(this.#policy.evict()!.key);
    const item: Held = {
      key,
      bytes,
      frequency: 0,
      main: false,
      print: printOf(key),
      before: null,
      after: null,
    };
    this.#objects.set(key, item);
    this.#policy.insert(item);
    return false;
  }
}

interface Small extends TinyItem {
  key: number;
}

class WTinyLfu implements Policy {
  readonly #objects = new Map<number, Small>();
  readonly #policy: TinyLfu<Small>;

  constructor(readonly limit: number, bySize: boolean) {
    this.#policy = new TinyLfu(limit, bySize);
  }

  ask({ key, bytes }: Request): boolean {
    const held = this.#objects.get(key);
    if (held) {
      this.#policy.use(held);
      return true;
    }
    const item: Small = { key, bytes, print: printOf(key), list: null, before: null, after: null };
    this.#objects.set(key, item);
    this.#policy.insert(item);
    while (true) {
      const victim = this.#policy.evict(this.limit);
      if (!victim) return false;
      this.#objects.delete(victim.key);
    }
  }
}

/** Whoever is asked for last again goes. With objects of different sizes that is no optimum, but hard to beat. */
class Belady implements Policy {
  /** When the request at each place is made again. */
  readonly #next: Float64Array;
  readonly #held = new Map<number, { bytes: number; next: number }>();
  /** A heap of those held, the latest first; what is no more true is passed over. */
  readonly #heap: [next: number, key: number][] = [];
  #bytes = 0;
  #at = 0;

  constructor(readonly limit: number, requests: readonly Request[]) {
    this.#next = new Float64Array(requests.length);
    const last = new Map<number, number>();
    for (let at = requests.length - 1; at >= 0; at--) {
      this.#next[at] = last.get(requests[at]!.key) ?? Infinity;
      last.set(requests[at]!.key, at);
    }
  }

  ask({ key, bytes }: Request): boolean {
    const next = this.#next[this.#at++]!;
    const hit = this.#held.delete(key);
    if (hit) this.#bytes -= bytes;
    if (next < Infinity && bytes <= this.limit) {
      this.#held.set(key, { bytes, next });
      this.#bytes += bytes;
      push(this.#heap, [next, key]);
      while (this.#bytes > this.limit) {
        const [when, latest] = pop(this.#heap)!;
        const held = this.#held.get(latest);
        if (held?.next !== when) continue;
        this.#held.delete(latest);
        this.#bytes -= held.bytes;
      }
    }
    return hit;
  }
}

function push(heap: [number, number][], item: [number, number]): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]![0] >= item[0]) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: [number, number][]): [number, number] | undefined {
  const first = heap[0];
  const item = heap.pop();
  if (!item || heap.length === 0) return first;
  let at = 0;
  while (true) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]![0] > heap[child]![0]) child++;
    if (heap[child]![0] <= item[0]) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = item;
  return first;
}

function printOf(key: number): number {
  return Math.imul(key + 1, 0x9e3779b1) >>> 0;
}
