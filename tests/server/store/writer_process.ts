/** Run by crash_test.ts: writes objects for ever, and prints a line for each that the store acknowledged. */
import { openDiskStore } from "../../../server/store/mod.ts";
import { chunksOf, manifestOf, pattern, versionOf } from "../../suite/store_suite.ts";

const [folder, round] = Deno.args;
const store = await openDiskStore({ folder: folder!, minFreeBytes: 0 });
const encoder = new TextEncoder();

async function writeForEver(worker: number): Promise<void> {
  for (let count = 1;; count++) {
    const bytes = pattern(1 + (count * 7919) % 200_000, worker * 1_000_000 + count);
    // Half of the paths are overwritten again and again.
    const path = count % 2 ? `/${round}/${worker}/${count}` : `/w${worker}`;
    const manifest = manifestOf(path, versionOf(Number(round) * 1_000_000 + count), bytes);
    await store.stage(chunksOf(bytes, 16_384));
    await store.put(manifest);
    Deno.stdout.writeSync(encoder.encode(`${path} ${manifest.version.wallMs} ${manifest.sha256}\n`));
  }
}

await Promise.all([writeForEver(1), writeForEver(2), writeForEver(3)]);
