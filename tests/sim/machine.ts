/** The real cluster on a simulated machine. */
import { CdnError, type Manifest } from "../../proto/mod.ts";
import type { ClusterSettings } from "../../server/cluster/mod.ts";
import { createCluster } from "../../server/cluster/create_cluster.ts";
import { HybridClock } from "../../proto/clock.ts";
import { createWriter } from "../../server/write.ts";
import { join } from "./disk_store.ts";
import type { Boot, Host, Process, Read } from "./process.ts";

const metadata = { mediaType: "text/plain", name: "", modifiedMs: 0, meta: {} };

/** Starts a server's cluster with its writer, as `server.ts` and `open.ts` put them together. */
export function realServer(settings: Partial<ClusterSettings> = {}): Boot {
  return (host) => Promise.resolve(boot(host, settings));
}

function boot(host: Host, settings: Partial<ClusterSettings>): Process {
  const { id, url, place, peers, minCopies, store: disk, ledger, partials, keys, network } = host;
  const { now, random, schedule, log } = host;
  const clock = new HybridClock(id, random());
  const { provider, region, labels } = place;
  const cluster = createCluster({
    self: { id, provider, region, role: "origin", labels, software: "sim" },
    store: disk,
    clock,
    network,
    ledger,
    partials,
    setAside: () => Promise.resolve(),
    keys,
    random,
    now,
    schedule,
    log: {
      ...log,
      warn: (message, fields) => {
        log.warn(message, fields);
        if (message.startsWith("gave up a version")) host.gaveUp(String(fields?.path), String(fields?.version));
      },
    },
    settings: { minCopies, ...settings },
  });
  cluster.start(url, peers);
  const { store } = cluster;
  const writer = createWriter({ store, cluster, clock, now });

  return {
    answer: (name, question, from) => cluster.answer(name, question, from),

    async openBody(sha256, start) {
      const whole = await store.open(sha256, { start: 0, end: 0 });
      if (!whole) return null;
      await whole.stream.cancel();
      if (start > whole.size) throw new CdnError("beyond the body", { source: "client", status: 416 });
      return await store.open(sha256, { start, end: whole.size });
    },

    async put(path, bytes) {
      const staged = await store.stage((async function* () {
        yield bytes;
      })());
      const { manifest } = await writer.write(path, staged, metadata);
      await cluster.secure(manifest);
      return manifest;
    },

    async remove(path) {
      const { manifest } = await writer.remove(path);
      await cluster.secure(manifest);
      return manifest;
    },

    async read(path): Promise<Read | null> {
      const wanted = cluster.wanted(path);
      const held = await store.get(path);
      const manifest = wanted ?? held;
      if (!manifest) return null;
      if (manifest.deleted) return { manifest, bytes: null };
      try {
        return { manifest, bytes: await bytesOf(manifest) };
      } catch (error) {
        // As `exchange.ts` does: what is newer and cannot be had now hides nothing that is here.
        if (!wanted || !held || held.deleted) throw error;
        return { manifest: held, bytes: await bytesOf(held) };
      }
    },

    members: () => cluster.servers().map(({ id, health }) => ({ id, state: health!.state })),
    close: () => cluster.close(),
  };

  async function bytesOf(manifest: Manifest): Promise<Uint8Array> {
    const range = { start: 0, end: manifest.size };
    const stream = (await store.open(manifest.sha256))?.stream ?? await cluster.fetchBody(manifest, range);
    const parts = await Array.fromAsync(stream);
    return join(parts);
  }
}
