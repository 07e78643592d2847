import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { CdnError } from "../../proto/mod.ts";
import { keepServerId, makeServerId } from "../../server/mod.ts";
import { tempDir } from "../kit/mod.ts";

Deno.test("an id is made once, kept, and belongs to its folder", async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, "data");
  assertEquals(await keepServerId(folder, null, () => "first-1"), "first-1");
  assertEquals(await keepServerId(folder, null, () => "second-2"), "first-1");
  assertEquals(await keepServerId(folder, "first-1", () => "third-3"), "first-1");
  const error = await assertRejects(
    () => keepServerId(folder, "other", () => "x"),
    CdnError,
    '"first-1", not to "other"',
  );
  assertEquals(error.source, "client");
  await Deno.writeTextFile(join(folder, "server.json"), "{");
  await assertRejects(() => keepServerId(folder, null, () => "x"), CdnError, "must be like");
});

Deno.test("an id is there whole or not at all, whatever a process that died has left", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(join(dir.path, "server.json.new"), '{"id":"ha');
  assertEquals(await keepServerId(dir.path, null, () => "whole-1"), "whole-1");
  assertEquals([...Deno.readDirSync(dir.path)].map(({ name }) => name), ["server.json"]);
  for (const text of ["", "null", "[]", '{"id":1}', '{"id":""}', '{"id":"../a"}', `{"id":"${"a".repeat(65)}"}`, "\0"]) {
    await Deno.writeTextFile(join(dir.path, "server.json"), text);
    const error = await assertRejects(() => keepServerId(dir.path, null, () => "x"), CdnError);
    assertEquals(error.source, "client", text);
    assertEquals(await Deno.readTextFile(join(dir.path, "server.json")), text);
  }
});

Deno.test("an id that is made is a valid name whatever the machine is called", () => {
  for (const hostname of ["web-1.example.com", "", "...", "-x", "Ünïcode", "x".repeat(300)]) {
    assertMatch(makeServerId(hostname, () => 0.999), /^[A-Za-z0-9][A-Za-z0-9-]{0,40}-9{5}$/);
  }
});
