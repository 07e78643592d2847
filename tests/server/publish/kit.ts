/** A folder, and a server's writing half that publishes it, with a clock that the test turns. */
import { join } from "@std/path";
import { HybridClock } from "../../../proto/clock.ts";
import type { Manifest } from "../../../proto/mod.ts";
import { createLogger } from "../../../runtime/log.ts";
import { Publishing, type PublishingOptions } from "../../../server/publish/publishing.ts";
import { openPublishedTable, type PublishedTable } from "../../../server/publish/table.ts";
import { memoryStore, type Store } from "../../../server/store/mod.ts";
import { createWriter, type Writer } from "../../../server/write.ts";
import { tempDir } from "../../kit/mod.ts";

/** What a scan or a look did, without what is zero. */
export type Done = Record<string, number>;

/** One folder and what is made of it. */
export class World implements AsyncDisposable {
  readonly store: Store = memoryStore();
  readonly writer: Writer;
  readonly log: string[] = [];
  /** Bodies that were staged. */
  staged = 0;
  /** Well after the files that tests write now. */
  nowMs = Date.now() + 3_600_000;
  publishing!: Publishing;
  table!: PublishedTable;
  readonly stop = new AbortController();

  private constructor(readonly temp: string, readonly folder: string, readonly removal: AsyncDisposable) {
    this.writer = createWriter({
      store: this.store,
      cluster: { sign: (manifest: Manifest) => manifest, copies: () => 1, draining: () => false, wanted: () => null },
      clock: new HybridClock("me"),
      now: () => this.nowMs,
    });
  }

  static async open(options: Partial<PublishingOptions> = {}): Promise<World> {
    const temp = await tempDir();
    const folder = join(temp.path, "media");
    await Deno.mkdir(folder);
    const world = new World(temp.path, folder, temp);
    await world.restart(options);
    return world;
  }

  /** As a new process would begin: nothing is left but what is on disk. */
  async restart(options: Partial<PublishingOptions> = {}): Promise<void> {
    this.table?.[Symbol.dispose]();
    const log = createLogger({ level: "debug", write: (line) => void this.log.push(line) });
    const now = () => this.nowMs;
    const table = this.table = await openPublishedTable(join(this.temp, "published.sqlite"), { now, log });
    this.publishing = new Publishing({
      folder: this.folder,
      table,
      store: {
        stage: (source, expected) => {
          this.staged++;
          return this.store.stage(source, expected);
        },
      },
      writer: this.writer,
      current: (path) => this.store.get(path),
      server: "me",
      maxObjectSize: 1 << 20,
      settleMs: 1000,
      signal: this.stop.signal,
      now,
      log,
      ...options,
    });
  }

  /** Writes a file, made `ageMs` before now. */
  async write(name: string, text: string, { ageMs = 60_000 } = {}): Promise<void> {
    const path = this.at(name);
    await Deno.mkdir(join(path, ".."), { recursive: true });
    await Deno.writeTextFile(path, text);
    const at = new Date(this.nowMs - ageMs);
    await Deno.utime(path, at, at);
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  /** What an upload does. */
  async upload(path: string, text: string): Promise<Manifest> {
    const body = await this.store.stage(once(text));
    const { manifest } = await this.writer.write(path, body, { mediaType: "x/y", name: "", modifiedMs: 0, meta: {} });
    return manifest;
  }

  async scan(): Promise<Done | null> {
    return nonZero(await this.publishing.scan());
  }

  async look(name: string): Promise<Done | null> {
    return nonZero(await this.publishing.look(name));
  }

  /** The objects, by path. */
  async objects(): Promise<Record<string, string>> {
    const { entries } = await this.store.list({ by: "path", limit: 1000 });
    const found: Record<string, string> = {};
    for (const { manifest } of entries) {
      const { stream } = (await this.store.open(manifest.sha256))!;
      found[manifest.path] = await new Response(stream).text();
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.table[Symbol.dispose]();
    await this.store[Symbol.asyncDispose]();
    await this.removal[Symbol.asyncDispose]();
  }
}

function nonZero(report: Record<string, number> | null): Done | null {
  return report && Object.fromEntries(Object.entries(report).filter(([, count]) => count > 0));
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
