import { assert, assertEquals } from "@std/assert";
import { openDiskStore } from "../../../server/store/mod.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { linesUntilKilled } from "../../kit/until_killed.ts";
import { pattern, read, sha256 } from "../../suite/store_suite.ts";
import { commit, openUploads, receivedOf, requestFor, send } from "./kit.ts";

const uploader = new URL("./uploader_process.ts", import.meta.url);

Deno.test("uploads: kill -9 loses no acknowledged chunk and no commit, and the uploads go on", async () => {
  await using dir = await tempDir();
  for (const [round, lines] of [20, 45, 7].entries()) {
    const printed = await linesUntilKilled(uploader, [dir.path, String(round + 1)], {
      lines,
      flags: ["--allow-read", `--allow-write=${dir.path}`],
    });
    await using store = await openDiskStore({ folder: `${dir.path}/store`, minFreeBytes: 0 });
    await using uploads = await openUploads(`${dir.path}/uploads`, store);
    const acknowledged = new Map<
      string,
      { bytes: Uint8Array<ArrayBuffer>; path: string; chunks: number[]; done: boolean }
    >();
    for (const line of printed) {
      const [what, id, seed, path, at] = line.split(" ") as [string, string, string, string, string];
      const known = acknowledged.get(id) ?? { bytes: pattern(50_000, Number(seed)), path, chunks: [], done: false };
      acknowledged.set(id, known);
      if (what === "commit") known.done = true;
      else known.chunks.push(Number(at));
    }
    assert(acknowledged.size > 0);
    for (const [id, { bytes, path, chunks, done }] of acknowledged) {
      const received = receivedOf(await uploads.get(id));
      for (const at of chunks) {
        assert(received.some(([start, end]) => start <= at && at + 10_000 <= end), `${path} lost its chunk at ${at}`);
      }
      if (!done) {
        const again = await uploads.create(requestFor(path, bytes));
        if (again.id === id) {
          const from = receivedOf(again)[0]?.[1] ?? 0;
          if (from < bytes.length) await send(uploads, id, bytes, from, bytes.length);
        }
      }
      assertEquals((await commit(uploads, id, bytes)).object?.sha256, sha256(bytes));
      assertEquals((await store.get(path))?.sha256, sha256(bytes));
      assertEquals(await read(store, sha256(bytes)), bytes);
    }
  }
});
