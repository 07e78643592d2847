/** Uploads a file to one server, by the `upload` command, and waits until all of them hold it. */
import { createHash } from "node:crypto";
import { CdnError } from "../../proto/mod.ts";
import { manifestAt } from "./ask.ts";
import type { Source } from "./files.ts";
import { runOnce } from "./program.ts";
import type { Uploaded } from "./scenarios.ts";
import { msText, sizeText } from "./text.ts";
import type { World } from "./world.ts";

/** Servers hand a file on at the speed of the links: a large one takes its time. */
const LEAST_PATIENCE_MS = 120_000;
const LEAST_RATE = 500_000;

/**
 * Uploads one file.
 * @throws {CdnError} where the upload fails, or where the servers do not have it after a generous time.
 */
export async function uploadEverywhere(
  world: World,
  { file, path }: Source,
  { signal, onStep, status }: { signal: AbortSignal; onStep(what: string): void; status(what: string): void },
): Promise<Uploaded> {
  const [first] = world.clouds;
  const { sha256, bytes } = await digestOf(file);
  status(`uploading ${path}`);
  await runOnce(["upload", "--server", first!.link.url, "--as", path, "--", file], signal);
  const begun = performance.now();
  const patienceMs = LEAST_PATIENCE_MS + bytes / LEAST_RATE * 1000;
  for (;;) {
    signal.throwIfAborted();
    const held = await Promise.all(
      world.clouds.map(async ({ link }) => (await manifestAt(world.peers, link.url, path))?.sha256 === sha256),
    );
    const copies = held.filter(Boolean).length;
    if (copies === world.clouds.length) break;
    const waited = performance.now() - begun;
    if (waited > patienceMs) {
      throw new CdnError(`${path} is on ${copies} of ${held.length} servers after ${msText(waited)}`, {
        source: "server",
      });
    }
    status(`${path}: on ${copies} of ${held.length} servers`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  status("");
  onStep(`${path} (${sizeText(bytes)}) uploaded to ${first!.place.id}, and handed on to the others`);
  return { path, sha256, bytes };
}

async function digestOf(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  using input = await Deno.open(file);
  const buffer = new Uint8Array(256 << 10);
  for (let count; (count = await input.read(buffer)) !== null;) {
    hash.update(buffer.subarray(0, count));
    bytes += count;
  }
  return { sha256: hash.digest("hex"), bytes };
}
