/**
 * A folder as content: its files are objects, beside those that are uploaded.
 * @module
 */
import { join, resolve } from "@std/path";
import type { Manifest } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { byTimer } from "../cluster/wake.ts";
import type { Store } from "../store/store.ts";
import type { Writer } from "../write.ts";
import { followFolder, type Publisher } from "./follow.ts";
import { Publishing } from "./publishing.ts";
import { openPublishedTable } from "./table.ts";
import { watchFolder } from "./watch.ts";

export { noPublisher, type Publisher } from "./follow.ts";

/** What is published, and at what pace. */
export interface PublishSettings {
  /** The folder. */
  folder: string;
  /** How long a file must have stood still before it is read, in milliseconds. */
  settleMs?: number;
  /** Between two looks at all of it, in milliseconds. */
  rescanMs?: number;
}

/** What publishing needs of the server. */
export interface PublisherNeeds {
  store: Pick<Store, "stage">;
  writer: Writer;
  /** The newest version of a path that is known. */
  current: (path: string) => Promise<Manifest | null>;
  /** False while it is not known yet what there is. */
  isReady: () => boolean;
  /** Our id. */
  server: string;
  /** In bytes. */
  maxObjectSize: number;
  now: () => number;
  log: Logger;
}

/**
 * Opens what publishing remembers in the data folder; it begins when it is started.
 * @throws {CdnError} where another process has it open
 */
export async function openPublisher(
  data: string,
  { folder, settleMs = 2000, rescanMs = 60_000 }: PublishSettings,
  { isReady, ...needs }: PublisherNeeds,
): Promise<Publisher> {
  const { now, log } = needs;
  const table = await openPublishedTable(join(data, "published.sqlite"), { now, log });
  const stop = new AbortController();
  const publishing = new Publishing({ ...needs, folder: resolve(folder), table, settleMs, signal: stop.signal });
  const publisher = followFolder({
    publishing,
    stop,
    isReady,
    watch: watchFolder,
    rescanMs,
    now,
    schedule: byTimer,
    log,
  });
  let closing: Promise<void> | undefined;
  return {
    start: publisher.start,
    close: () => closing ??= publisher.close().then(() => table[Symbol.dispose]()),
  };
}
