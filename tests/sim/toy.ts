/** The least that replicates: it shows that the simulation finds what is missing, and finds nothing where nothing is. */
import { create } from "@bufbuild/protobuf";
import {
  CdnError,
  compareVersions,
  formatVersion,
  type Manifest,
  manifestFromWire,
  manifestToWire,
  parseVersion,
  tombstone,
  type Version,
  wire,
} from "../../proto/mod.ts";
import { MAX_AHEAD_MS } from "../../proto/clock.ts";
import type { Answer, CallName, Question } from "../../server/cluster/calls.ts";
import { Wake } from "../../server/cluster/wake.ts";
import { join } from "./disk_store.ts";
import type { Boot, Host, Process, Read } from "./process.ts";

const { HELD, FAILED } = wire.OfferAnswer_Outcome;
const AHEAD = "ahead of the clock here";

/** Sends each write to all, and waits for copies. With `repair` it also offers all that it has, again and again. */
export function toy({ repair }: { repair: boolean }): Boot {
  return (host) => Promise.resolve(new Replica(host, repair));
}

class Replica implements Process {
  readonly #stop = new AbortController();
  readonly #states = new Map<string, string>();
  readonly #ended: Promise<void>;

  constructor(readonly host: Host, repair: boolean) {
    this.#ended = repair ? this.#repair() : Promise.resolve();
  }

  async put(path: string, bytes: Uint8Array): Promise<Manifest> {
    const { store } = this.host;
    const { sha256, size } = await store.stage((async function* () {
      yield bytes;
    })());
    return await this.#write({
      path,
      version: this.#stamp(await store.get(path)),
      deleted: false,
      sha256,
      size,
      mediaType: "",
      name: "",
      modifiedMs: 0,
      meta: {},
    });
  }

  async remove(path: string): Promise<Manifest> {
    const current = await this.host.store.get(path);
    if (!current || current.deleted) {
      throw new CdnError(`There is no object at ${path}`, { source: "client", status: 404 });
    }
    return await this.#write(tombstone(path, this.#stamp(current)));
  }

  /** A server whose disk was wiped, and whose clock is behind, would else give a stamp again that it has forgotten. */
  #stamp(current: Manifest | null): Version {
    const { clock, now, random } = this.host;
    const { wallMs, counter, server } = clock.next(now(), current?.version);
    const version = { wallMs, counter: counter + Math.floor(random() * 2 ** 16), server };
    clock.observe(version, now());
    return version;
  }

  async #write(manifest: Manifest): Promise<Manifest> {
    const { store, peers, minCopies } = this.host;
    if (!await store.put(manifest)) throw failed(`${manifest.path} was written meanwhile`);
    const held = await Promise.all(peers.map((url) => this.#offer(url, [manifest])));
    const copies = 1 + held.filter(([result]) => result?.outcome === HELD && !this.#isAhead(result.reason)).length;
    if (copies < minCopies) throw failed(`${copies} of ${minCopies} servers hold ${manifest.path}`);
    return manifest;
  }

  async #offer(url: string, manifests: Manifest[]): Promise<wire.OfferAnswer_Result[]> {
    const { id, network } = this.host;
    const peer = new URL(url).hostname.split(".")[0]!;
    try {
      const question = create(wire.OfferSchema, {
        from: id,
        url: this.host.url,
        manifests: manifests.map(manifestToWire),
      });
      const answer = await network.ask(url, "offers", question, { timeoutMs: 5_000, signal: this.#stop.signal });
      this.#states.set(peer, "alive");
      for (const [at, { outcome, reason }] of answer.results.entries()) {
        // Both clocks say so: ours was wrong when it was written, and nobody has it.
        const { path, version } = manifests[at]!;
        if (outcome === FAILED && reason === AHEAD && this.#isAhead(formatVersion(version))) {
          await this.host.store.forget(path, version);
        }
      }
      return answer.results;
    } catch {
      this.#states.set(peer, "dead");
      return [];
    }
  }

  async #repair(): Promise<void> {
    const { store, peers, schedule, random } = this.host;
    const wake = new Wake(schedule);
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await wake.sleep(2_000 + random() * 2_000, signal);
      const { entries } = await store.list({ by: "change", after: 0, limit: 1000 });
      await Promise.all(peers.map((url) => this.#offer(url, entries.map(({ manifest }) => manifest))));
    }
  }

  async answer<Name extends CallName>(name: Name, question: Question<Name>): Promise<Answer<Name>> {
    if (name !== "offers") throw new CdnError(`There is no call ${name}`, { source: "client", status: 404 });
    const { url, manifests } = question as wire.Offer;
    const results = [];
    for (const manifest of manifests) results.push(await this.#take(manifestFromWire(manifest), url));
    return create(wire.OfferAnswerSchema, { results }) as Answer<Name>;
  }

  async #take(manifest: Manifest, url: string): Promise<{ outcome: wire.OfferAnswer_Outcome; reason?: string }> {
    const { store, clock, now } = this.host;
    if (!clock.observe(manifest.version, now())) return { outcome: FAILED, reason: AHEAD };
    const current = await store.get(manifest.path);
    try {
      if (current && compareVersions(current.version, manifest.version) > 0) {
        return { outcome: await this.#has(current) ? HELD : FAILED, reason: formatVersion(current.version) };
      }
      if (!await this.#has(manifest)) {
        const body = await this.#fetch(url, manifest.sha256);
        await store.stage(body, { sha256: manifest.sha256, size: manifest.size });
      }
      return { outcome: await store.put(manifest) ? HELD : FAILED };
    } catch (error) {
      if (error instanceof CdnError) return { outcome: FAILED };
      throw error;
    }
  }

  /** True where a version can only come from a wrong clock, theirs or ours. */
  #isAhead(version: string): boolean {
    return (parseVersion(version)?.wallMs ?? 0) > this.host.now() + MAX_AHEAD_MS;
  }

  async #has({ sha256, deleted }: Manifest): Promise<boolean> {
    if (deleted) return true;
    const body = await this.host.store.open(sha256, { start: 0, end: 0 });
    await body?.stream.cancel();
    return body !== null;
  }

  async #fetch(url: string, sha256: string): Promise<AsyncIterable<Uint8Array>> {
    const options = { sha256, start: 0, idleMs: 2_000, signal: this.#stop.signal };
    return (await this.host.network.openBody(url, options)).chunks;
  }

  openBody(sha256: string, start: number) {
    return this.host.store.open(sha256).then((body) => start === 0 ? body : null);
  }

  async read(path: string): Promise<Read | null> {
    const { store, peers } = this.host;
    const manifest = await store.get(path);
    if (!manifest) return null;
    if (manifest.deleted) return { manifest, bytes: null };
    const { sha256, size } = manifest;
    let body = await store.open(sha256);
    for (const url of body ? [] : peers) {
      try {
        await store.stage(await this.#fetch(url, sha256), { sha256, size });
        body = await store.open(sha256);
        break;
      } catch (error) {
        if (!(error instanceof CdnError)) throw error;
      }
    }
    if (!body) throw failed(`the body of ${path} cannot be had`);
    const parts = await Array.fromAsync(body.stream);
    return { manifest, bytes: join(parts, parts.reduce((sum, { length }) => sum + length, 0)) };
  }

  members() {
    return [...this.#states].map(([id, state]) => ({ id, state }));
  }

  async close(): Promise<void> {
    this.#stop.abort(failed("it is closing"));
    await this.#ended;
  }
}

function failed(message: string): CdnError {
  return new CdnError(message, { source: "server", status: 503, retry: true });
}
