import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { CdnError } from "../../../proto/mod.ts";
import { openPartials } from "../../../server/cluster/partials.ts";
import { chunksOf, pattern, sha256 } from "../../suite/store_suite.ts";

const bytes = pattern(200_000);
const name = sha256(bytes);

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(join(folder, "partial"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  return await new Blob(parts).bytes();
}

Deno.test("a beginning goes on where it stood, also after a restart", () =>
  inFolder(async (folder) => {
    const partials = await openPartials({ folder, nowMs: Date.now() });
    assertEquals(await partials.size(name), 0);
    assertEquals((await collect(partials.read(name, 0))).length, 0);
    {
      await using writer = await partials.append(name, { fresh: false });
      for await (const chunk of chunksOf(bytes.subarray(0, 150_000), 7000)) await writer.write(chunk);
      assertEquals(await collect(partials.read(name, 100_000)), bytes.slice(100_000, 150_000)); // while it is written
    }
    const again = await openPartials({ folder, nowMs: Date.now() });
    assertEquals(await again.size(name), 150_000);
    {
      await using writer = await again.append(name, { fresh: false });
      await writer.write(bytes.subarray(150_000));
    }
    assertEquals(await collect(again.read(name, 0)), bytes);
    const source = again.source(name);
    assertEquals("file" in source && await Deno.readFile(source.file), bytes);
    {
      await using writer = await again.append(name, { fresh: true });
      await writer.write(bytes.subarray(0, 5));
    }
    assertEquals(await again.size(name), 5);
    await again.discard(name);
    await again.discard(name);
    assertEquals(await again.size(name), 0);
  }));

Deno.test("who stops reading closes the file", () =>
  inFolder(async (folder) => {
    const partials = await openPartials({ folder, nowMs: Date.now() });
    {
      await using writer = await partials.append(name, { fresh: true });
      await writer.write(bytes);
    }
    for await (const chunk of partials.read(name, 10)) {
      assertEquals(chunk[0], bytes[10]);
      break; // the sanitizer looks for what stays open
    }
  }));

Deno.test("beginnings that nobody went on with for three days are thrown away at the start", () =>
  inFolder(async (folder) => {
    const nowMs = Date.now();
    await Deno.mkdir(folder);
    const old = sha256(pattern(1));
    for (const [file, days] of [[old, 3.1], [name, 2.9]] as const) {
      await Deno.writeFile(join(folder, file), bytes);
      const at = new Date(nowMs - days * 24 * 3_600_000);
      await Deno.utime(join(folder, file), at, at);
    }
    const partials = await openPartials({ folder, nowMs });
    assertEquals([await partials.size(old), await partials.size(name)], [0, bytes.length]);
  }));

Deno.test("where there is no room it says so, and where a name is no digest", () =>
  inFolder(async (folder) => {
    const partials = await openPartials({ folder, nowMs: Date.now(), minFreeBytes: Number.MAX_SAFE_INTEGER });
    const error = await assertRejects(() => partials.append(name, { fresh: true }), CdnError);
    assertEquals([error.status, await partials.size(name)], [507, 0]);
    assertThrows(() => partials.source("../x"), RangeError);
    await assertRejects(() => partials.size("../x"), RangeError);
    await assertRejects(() => partials.append("../x", { fresh: true }), RangeError);
  }));
