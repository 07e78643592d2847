import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { PublishedFolder } from "../../../server/publish/folder.ts";
import { tempDir } from "../../kit/mod.ts";

Deno.test("nothing is opened that is outside, whatever was put in a name's place", async () => {
  await using temp = await tempDir();
  const root = join(temp.path, "media");
  await Deno.mkdir(join(root, "real"), { recursive: true });
  await Deno.mkdir(join(temp.path, "media-too"));
  for (const name of ["media/real/a", "secret", "media-too/a"]) await Deno.writeTextFile(join(temp.path, name), "x");
  await Deno.symlink("real/a", join(root, "inside"));
  await Deno.symlink(join(temp.path, "secret"), join(root, "out"));
  await Deno.symlink(join(temp.path, "media-too"), join(root, "folder"));
  const folder = await PublishedFolder.at(root);
  for (const name of ["real/a", "inside"]) {
    using open = await folder.open(name);
    assertEquals(open.look.size, 1, name);
  }
  for (const name of ["out", "folder/a", "../secret", "real"]) {
    await assertRejects(() => folder.open(name), Deno.errors.NotFound, undefined, name);
  }
});

Deno.test("where nothing is, the disk of the nearest folder above is told", async () => {
  await using temp = await tempDir();
  await Deno.mkdir(join(temp.path, "a"));
  await Deno.writeTextFile(join(temp.path, "file"), "");
  const folder = await PublishedFolder.at(temp.path);
  const device = String((await Deno.stat(temp.path)).dev);
  for (const name of ["x", "a/x", "a/b/c/d", "file/x"]) {
    assertEquals(await folder.find(name), { kind: "gone", device }, name);
  }
  assertEquals(await folder.find(""), { kind: "folder" });
});
