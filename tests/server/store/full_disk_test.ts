import { assertEquals, assertRejects } from "@std/assert";
import { CdnError, tombstone } from "../../../proto/mod.ts";
import { openDiskStore } from "../../../server/store/mod.ts";
import { fillDisk, noSmallDisk, onSmallDisk } from "../../kit/small_disk.ts";
import { chunksOf, pattern, read, versionOf, write } from "../../suite/store_suite.ts";

Deno.test({
  name: `disk: a full disk is a 507, and the store goes on${noSmallDisk ? ` (skipped: ${noSmallDisk})` : ""}`,
  ignore: noSmallDisk !== null,
  fn: () =>
    onSmallDisk("4m", async (disk) => {
      const folder = `${disk}/store`;
      await using store = await openDiskStore({ folder, minFreeBytes: 0 });
      const held = await write(store, "/held", versionOf(1), pattern(500_000));

      const tooBig = await assertRejects(() => store.stage(chunksOf(pattern(8_000_000), 65_536)), CdnError);
      assertEquals([tooBig.status, tooBig.source], [507, "server"]);
      assertEquals([...Deno.readDirSync(`${folder}/tmp`)], [], "the temporary file is gone");
      await write(store, "/small", versionOf(1), pattern(1000));

      // A file from elsewhere that does not fit stays where it was.
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, pattern(8_000_000));
      assertEquals((await assertRejects(() => store.stage({ file }), CdnError)).status, 507);
      assertEquals((await Deno.stat(file)).size, 8_000_000);
      await Deno.remove(file);

      await store.stage(chunksOf(pattern(1000, 2)));
      await fillDisk(`${disk}/filler`);
      const noRow = await assertRejects(async () => {
        // Rows fit into the room that the log of the index has; then no more.
        for (let at = 1; at < 10_000; at++) await store.put(tombstone(`/${at}${"x".repeat(900)}`, versionOf(1)));
      }, CdnError);
      assertEquals([noRow.status, noRow.source], [507, "server"]);
      assertEquals((await assertRejects(() => store.stage(chunksOf(pattern(9000, 3))), CdnError)).status, 507);

      assertEquals(await store.get("/held"), held);
      assertEquals(await read(store, held.sha256), pattern(500_000));
      assertEquals((await store.list({ by: "path", limit: 10 })).entries.length, 2);

      await Deno.remove(`${disk}/filler`);
      await write(store, "/later", versionOf(2), pattern(1000, 4));
      assertEquals(await store.put(tombstone("/held", versionOf(2))), true);
    }),
});
