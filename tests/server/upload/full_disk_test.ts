import { assertEquals } from "@std/assert";
import { openDiskStore } from "../../../server/store/mod.ts";
import { fillDisk, noSmallDisk, onSmallDisk } from "../../kit/small_disk.ts";
import { pattern, read, sha256 } from "../../suite/store_suite.ts";
import { commit, openUploads, receivedOf, refused, requestFor, send } from "./kit.ts";

Deno.test({
  name: `uploads: a full disk is a 507, and the upload goes on${noSmallDisk ? ` (skipped: ${noSmallDisk})` : ""}`,
  ignore: noSmallDisk !== null,
  fn: () =>
    onSmallDisk("4m", async (disk) => {
      await using store = await openDiskStore({ folder: `${disk}/store`, minFreeBytes: 0 });
      await using uploads = await openUploads(`${disk}/uploads`, store);
      const bytes = pattern(800_000);
      const { id } = await uploads.create(requestFor("/a", bytes));
      await send(uploads, id, bytes, 0, 400_000);
      await fillDisk(`${disk}/filler`);
      await refused(() => send(uploads, id, bytes, 400_000, 800_000), 507, "no room");
      assertEquals(receivedOf(await uploads.get(id)), [[0, 400_000]]);
      await Deno.remove(`${disk}/filler`);
      await send(uploads, id, bytes, 400_000, 800_000);
      // The bytes change hands without a copy: there would be no room for one.
      await fillDisk(`${disk}/filler`);
      await Deno.truncate(`${disk}/filler`, (await Deno.stat(`${disk}/filler`)).size - 200_000);
      await commit(uploads, id, bytes);
      assertEquals(await read(store, sha256(bytes)), bytes);
    }),
});

Deno.test("uploads: where the disk's reserve would be touched, chunks are refused and the rest goes on", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using store = await openDiskStore({ folder: `${folder}/store`, minFreeBytes: 0 });
    await using uploads = await openUploads(`${folder}/uploads`, store, {
      limits: { minFreeBytes: Number.MAX_SAFE_INTEGER },
    });
    const bytes = pattern(10);
    const { id } = await uploads.create(requestFor("/a", bytes));
    await refused(() => send(uploads, id, bytes, 0, 10), 507, "no room");
    await uploads.cancel(id);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
