import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { openDiskStore } from "../../../server/store/mod.ts";
import { linesUntilKilled } from "../../kit/until_killed.ts";
import { read, sha256 } from "../../suite/store_suite.ts";

const writer = new URL("./writer_process.ts", import.meta.url);

Deno.test("disk: kill -9 loses nothing that was acknowledged", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const newest = new Map<string, { wallMs: number; digest: string }>();
    for (const [round, lines] of [30, 1, 75].entries()) {
      const printed = await linesUntilKilled(writer, [folder, String(round + 1)], {
        lines,
        flags: ["--allow-read", `--allow-write=${folder}`],
        async meanwhile() {
          await assertRejects(() => openDiskStore({ folder }), CdnError, "another process has it open");
        },
      });
      for (const line of printed) {
        const [path, wallMs, digest] = line.split(" ") as [string, string, string];
        newest.set(path, { wallMs: Number(wallMs), digest });
      }
      await using store = await openDiskStore({ folder, minFreeBytes: 0 });
      for (const [path, { wallMs, digest }] of newest) {
        const manifest = await store.get(path);
        assert(manifest, `${path} is gone`);
        assert(manifest.version.wallMs >= wallMs, `${path} went back`);
        if (manifest.version.wallMs === wallMs) assertEquals(manifest.sha256, digest);
        const bytes = await read(store, manifest.sha256);
        assert(bytes && sha256(bytes) === manifest.sha256, `${path} is not whole`);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
