import { assertEquals } from "@std/assert";
import { dirname, join } from "@std/path";
import { listFiles } from "../../upload/mod.ts";
import { tempDir } from "../kit/temp_dir.ts";

/** Lists with names relative to the folder, and collects what was said. */
async function list(folder: string, args: string[], as: string | null = null) {
  const said: string[] = [];
  const note = (word: string) => (file: string, reason: string) => said.push(`${word} ${short(file)}: ${reason}`);
  const short = (file: string) => file.startsWith(folder) ? file.slice(folder.length + 1) : file;
  const found: string[] = [];
  const named = args.map((arg) => arg === "-" ? arg : join(folder, arg));
  for await (const { file, path } of listFiles(named, as, { onSkip: note("skip"), onFail: note("fail") })) {
    found.push(`${short(file)} -> ${path}`);
  }
  return { found, said };
}

async function tree(folder: string, files: string[]): Promise<void> {
  for (const file of files) {
    await Deno.mkdir(dirname(join(folder, file)), { recursive: true });
    await Deno.writeTextFile(join(folder, file), file);
  }
}

Deno.test("a file goes to its name, to --as, or into it", async () => {
  await using dir = await tempDir();
  await tree(dir.path, ["a.jpg", "b b.txt"]);
  assertEquals((await list(dir.path, ["a.jpg"])).found, ["a.jpg -> /a.jpg"]);
  assertEquals((await list(dir.path, ["a.jpg"], "/x/y")).found, ["a.jpg -> /x/y"]);
  assertEquals((await list(dir.path, ["a.jpg", "b b.txt"], "/x/")).found, [
    "a.jpg -> /x/a.jpg",
    "b b.txt -> /x/b b.txt",
  ]);
  assertEquals((await list(dir.path, ["-"], "/x")).found, ["- -> /x"]);
});

Deno.test("a folder goes with all that is in it, in order", async () => {
  await using dir = await tempDir();
  await tree(dir.path, ["site/index.html", "site/img/a.png", "site/img/deep/b.png", "site/z", "other/index.html"]);
  const below = ["site/img/a.png", "site/img/deep/b.png", "site/index.html", "site/z"];
  assertEquals((await list(dir.path, ["site"])).found, below.map((file) => `${file} -> /${file}`));
  const placed = below.map((file) => `${file} -> /x/${file.slice("site/".length)}`);
  assertEquals((await list(dir.path, ["site"], "/x")).found, placed);
  assertEquals((await list(dir.path, ["site/"], "/x/")).found, placed);
  assertEquals((await list(dir.path, ["site/img/.."], "/x/")).found.length, 4);
  assertEquals(
    (await list(dir.path, ["site", "other"], "/x/")).found.at(-1),
    "other/index.html -> /x/other/index.html",
  );
});

Deno.test("links that stay in the folder are followed to files, others are left out with a note", async () => {
  await using dir = await tempDir();
  await tree(dir.path, ["in/a", "in/sub/b", "outside", "in2/secret"]);
  const links: [string, string][] = [
    ["a", "in/l1"],
    ["../outside", "in/l2"],
    ["../in2/secret", "in/l3"],
    ["sub", "in/l4"],
    [".", "in/l5"],
    ["gone", "in/l6"],
    ["l6", "in/l7"],
    ["/etc/passwd", "in/l8"],
  ];
  for (const [to, link] of links) await Deno.symlink(to, join(dir.path, link));
  const { found, said } = await list(dir.path, ["in"]);
  assertEquals(found, ["in/a -> /in/a", "in/l1 -> /in/l1", "in/sub/b -> /in/sub/b"]);
  assertEquals(said, [
    "skip in/l2: the link leaves the folder",
    "skip in/l3: the link leaves the folder",
    "skip in/l4: the link is to no file (folders go up under their own name)",
    "skip in/l5: the link leaves the folder",
    "skip in/l6: the link leads nowhere",
    "skip in/l7: the link leads nowhere",
    "skip in/l8: the link leaves the folder",
  ]);
  await Deno.symlink("in", join(dir.path, "named"));
  assertEquals((await list(dir.path, ["named"])).found[0], "named/a -> /named/a", "a link that is named is meant");
});

Deno.test("what cannot be uploaded is told, and the others go on", async () => {
  await using dir = await tempDir();
  await tree(dir.path, ["ok", "odd/a\nb", "odd/c\\d", "odd/fine", "x/same", "y/same"]);
  const { found, said } = await list(dir.path, ["none", "ok", "odd"]);
  assertEquals(found, ["ok -> /ok", "odd/fine -> /odd/fine"]);
  assertEquals(said.map((line) => line.split(":")[0]), ["fail none", "fail odd/a\nb", "fail odd/c\\d"]);
  const twice = await list(dir.path, ["x/same", "y/same"]);
  assertEquals(twice.found, ["x/same -> /same"]);
  assertEquals(twice.said, [`fail y/same: /same is already the path of ${join(dir.path, "x/same")}`]);
});
