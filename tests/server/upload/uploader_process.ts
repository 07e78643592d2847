/** Run by crash_test.ts: uploads for ever, and prints a line for each chunk and commit that was acknowledged. */
import { openDiskStore } from "../../../server/store/mod.ts";
import { pattern } from "../../suite/store_suite.ts";
import { commit, openUploads, requestFor, send } from "./kit.ts";

const [folder, round] = Deno.args;
const store = await openDiskStore({ folder: `${folder}/store`, minFreeBytes: 0 });
const uploads = await openUploads(`${folder}/uploads`, store);
const encoder = new TextEncoder();

function acknowledge(...words: (string | number)[]): void {
  Deno.stdout.writeSync(encoder.encode(words.join(" ") + "\n"));
}

async function uploadForEver(worker: number): Promise<void> {
  for (let count = 1;; count++) {
    const seed = worker * 1_000_000 + Number(round) * 10_000 + count;
    const bytes = pattern(50_000, seed);
    const path = `/${round}/${worker}/${count}`;
    const { id } = await uploads.create(requestFor(path, bytes));
    for (let start = 0; start < bytes.length; start += 10_000) {
      await send(uploads, id, bytes, start, start + 10_000);
      acknowledge("chunk", id, seed, path, start);
    }
    await commit(uploads, id, bytes);
    acknowledge("commit", id, seed, path, bytes.length);
  }
}

await Promise.all([uploadForEver(1), uploadForEver(2), uploadForEver(3)]);
