import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { CdnError } from "../../../proto/mod.ts";
import { World } from "./kit.ts";

Deno.test("each file becomes the object at its path, with its time and a type by its name; a second scan does nothing", async () => {
  await using world = await World.open();
  await world.write("a.txt", "one");
  await world.write("deep/er/ü b.jpg", "two", { ageMs: 5000 });
  await world.write("empty.bin", "");
  assertEquals(await world.scan(), { published: 3 });
  assertEquals(await world.objects(), { "/a.txt": "one", "/deep/er/ü b.jpg": "two", "/empty.bin": "" });
  const { mediaType, modifiedMs, name, meta } = (await world.store.get("/deep/er/ü b.jpg"))!;
  assertEquals({ mediaType, modifiedMs, name, meta }, {
    mediaType: "image/jpeg",
    modifiedMs: world.nowMs - 5000,
    name: "",
    meta: {},
  });
  assertEquals([await world.scan(), world.staged], [{ same: 3 }, 3]);
});

Deno.test("after a restart nothing is written again, and what changed meanwhile is", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.write("b", "two");
  await world.write("c", "three");
  await world.scan();
  await world.restart();
  assertEquals([await world.scan(), world.staged], [{ same: 3 }, 3]);
  await world.write("b", "TWO", { ageMs: 30_000 });
  await Deno.remove(world.at("c"));
  await world.restart();
  assertEquals(await world.scan(), { published: 1, deleted: 1, same: 1 });
  assertEquals(await world.objects(), { "/a": "one", "/b": "TWO" });
});

Deno.test("a file with the same bytes and another time is not written again", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.scan();
  const before = await world.store.get("/a");
  await world.write("a", "one", { ageMs: 10_000 });
  assertEquals([await world.scan(), world.staged], [{ same: 1 }, 1]);
  assertEquals(await world.store.get("/a"), before);
  // It is still ours: it goes with its file.
  await world.write("b", "two");
  await Deno.remove(world.at("a"));
  assertEquals(await world.scan(), { published: 1, deleted: 1 });
});

Deno.test("renames: of a file, of a folder, and of one file over another of the same size and time", async () => {
  await using world = await World.open();
  for (const name of ["a", "sub/x", "sub/deep/y", "new", "z"]) await world.write(name, name.padEnd(10));
  await world.scan();
  await Deno.rename(world.at("a"), world.at("b"));
  assertEquals([await world.look("a"), await world.look("b")], [{ deleted: 1 }, { published: 1 }]);
  await Deno.rename(world.at("sub"), world.at("dir"));
  assertEquals([await world.look("dir"), await world.look("sub")], [{ published: 2 }, { deleted: 2 }]);
  await Deno.rename(world.at("new"), world.at("z"));
  assertEquals([await world.look("z"), await world.look("new")], [{ published: 1 }, { deleted: 1 }]);
  const words = (...pairs: [string, string][]) => Object.fromEntries(pairs.map(([k, v]) => [k, v.padEnd(10)]));
  assertEquals(
    await world.objects(),
    words(["/b", "a"], ["/dir/deep/y", "sub/deep/y"], ["/dir/x", "sub/x"], ["/z", "new"]),
  );
  // And back, though what is put there again is older than the delete.
  await Deno.rename(world.at("b"), world.at("a"));
  assertEquals(await world.scan(), { published: 1, deleted: 1, same: 3 });
});

Deno.test("a file that is still being written waits until it stands still", async () => {
  await using world = await World.open();
  await world.write("film", "beg", { ageMs: 200 });
  assertEquals([await world.scan(), world.publishing.moving.has("film")], [{ moving: 1 }, true]);
  const { name, nextMs } = world.publishing.moving.due();
  assertEquals([name, nextMs], [null, world.nowMs + 1000]);
  world.nowMs += 600;
  await world.write("film", "begin", { ageMs: 0 });
  assertEquals(await world.look("film"), { moving: 1 });
  world.nowMs += 600;
  assertEquals(world.publishing.moving.due().name, null, "it counts from its last change");
  world.nowMs += 600;
  assertEquals(world.publishing.moving.due().name, "film");
  assertEquals(await world.look("film"), { published: 1 });
  assertEquals([world.publishing.moving.due(), await world.objects()], [{ name: null, nextMs: Infinity }, {
    "/film": "begin",
  }]);
  // One that goes before it ever stood still is not waited for.
  await world.write("gone", "x", { ageMs: 0 });
  await world.look("gone");
  await Deno.remove(world.at("gone"));
  assertEquals([await world.look("gone"), world.publishing.moving.due().nextMs], [{}, Infinity]);
  // Nor one that grows too large, becomes unreadable, or goes with the folder.
  const nothing = { name: null, nextMs: Infinity };
  for (
    const spoil of [
      () => world.write("bad", "x".repeat((1 << 20) + 1), { ageMs: 0 }),
      () => Deno.remove(world.at("bad")).then(() => Deno.symlink("bad", world.at("bad"))),
      () => Deno.rename(world.folder, `${world.folder}-away`),
    ]
  ) {
    await Deno.remove(world.at("bad")).catch(() => {});
    await world.write("bad", "x", { ageMs: 0 });
    await world.look("bad");
    assertEquals(world.publishing.moving.has("bad"), true);
    await spoil();
    await world.look("bad");
    assertEquals(world.publishing.moving.due(), nothing);
  }
});

Deno.test("a folder that is new is looked at once more, for what came before anybody could hear of it", async () => {
  await using world = await World.open();
  await world.write("new/a", "x");
  await world.look("new");
  await world.write("new/b", "x");
  world.nowMs += 1000;
  assertEquals(world.publishing.moving.due().name, "new");
  assertEquals(await world.look("new"), { same: 1, published: 1 });
  assertEquals(world.publishing.moving.due().nextMs, Infinity);
});

Deno.test("a time in the future is no reason to wait for ever", async () => {
  await using world = await World.open();
  await world.write("a", "x", { ageMs: -1e9 });
  assertEquals(await world.scan(), { moving: 1 });
  world.nowMs += 1000;
  assertEquals(await world.scan(), { published: 1 });
});

Deno.test("a file that changes while it is read is not published half", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  let changes = 1;
  await world.restart({
    store: {
      stage: async (source, expected) => {
        const staged = await world.store.stage(source, expected);
        if (changes-- > 0) await world.write("a", "other bytes", { ageMs: 30_000 });
        return staged;
      },
    },
  });
  assertEquals([await world.scan(), await world.objects()], [{ moving: 1 }, {}]);
  assertEquals([await world.scan(), await world.objects()], [{ published: 1 }, { "/a": "other bytes" }]);
});

Deno.test("an upload stays while the file is as it was; a changed file overwrites it", async () => {
  await using world = await World.open();
  await world.write("a", "file");
  await world.write("b", "file");
  await world.scan();
  await world.upload("/a", "upload");
  await world.writer.remove("/b");
  await world.restart();
  assertEquals([await world.scan(), await world.objects()], [{ same: 2 }, { "/a": "upload" }]);
  await world.write("a", "changed", { ageMs: 10_000 });
  await world.write("b", "file", { ageMs: 10_000 });
  assertEquals(await world.scan(), { published: 2 });
  assertEquals(await world.objects(), { "/a": "changed", "/b": "file" });
});

Deno.test("of a file and an object that were never seen together the newer counts", async () => {
  await using world = await World.open();
  await world.write("older", "file", { ageMs: 60_000 });
  await world.upload("/older", "upload");
  await world.upload("/newer", "upload");
  await world.upload("/equal", "same");
  await world.write("equal", "same");
  world.nowMs += 120_000;
  await world.write("newer", "file", { ageMs: 60_000 });
  assertEquals(await world.scan(), { published: 1, same: 2 });
  assertEquals(await world.objects(), { "/equal": "same", "/newer": "file", "/older": "upload" });
  assertEquals(world.log.filter((line) => line.includes("newer than the file")).length, 1);
  // Whatever becomes of the files: what publishing did not put there it does not delete.
  for (const name of ["older", "newer", "equal"]) await Deno.remove(world.at(name));
  await world.write("rest", "x");
  assertEquals(await world.scan(), { published: 1, deleted: 1 });
  assertEquals(await world.objects(), { "/equal": "same", "/older": "upload", "/rest": "x" });
});

Deno.test("an object that was overwritten since stays when its file goes", async () => {
  await using world = await World.open();
  for (const name of ["a", "b", "c"]) await world.write(name, name);
  await world.scan();
  await world.upload("/a", "upload");
  await world.upload("/b", "b");
  for (const name of ["a", "b"]) await Deno.remove(world.at(name));
  assertEquals(await world.scan(), { same: 1 });
  assertEquals(await world.objects(), { "/a": "upload", "/b": "b", "/c": "c" });
});

Deno.test("a process that ends between the write and its note knows its object again", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.write("b", "two");
  const dies = {
    ...world.writer,
    write: async (...args: Parameters<typeof world.writer.write>) => {
      if (args[0] === "/a") await world.writer.write(...args);
      throw new Error("killed");
    },
  };
  await world.restart({ writer: dies });
  assertEquals(await world.scan(), { failed: 2 });
  await world.restart();
  assertEquals([await world.scan(), await world.objects()], [{ same: 1, published: 1 }, { "/a": "one", "/b": "two" }]);
  await Deno.remove(world.at("a"));
  assertEquals(await world.scan(), { same: 1, deleted: 1 });
});

Deno.test("a folder that is missing or empty deletes nothing", async () => {
  await using world = await World.open();
  for (let at = 0; at < 20; at++) await world.write(`f${at}`, "x");
  await world.scan();
  const count = async () => Object.keys(await world.objects()).length;
  await Deno.rename(world.folder, `${world.folder}-away`);
  assertEquals([await world.scan(), await world.look("f1"), await count()], [null, null, 20]);
  await Deno.mkdir(world.folder);
  await Deno.writeTextFile(world.at(".hidden"), "");
  assertEquals([await world.scan(), await count()], [{ "passed over": 1, "held back": 20 }, 20]);
  assertEquals([await world.look("f1"), await count()], [{ "held back": 1 }, 20]);
  assertEquals(world.log.filter((line) => line.includes("WARN")).length, 2, "said once each");
  // The disk is back.
  await Deno.remove(world.folder, { recursive: true });
  await Deno.rename(`${world.folder}-away`, world.folder);
  assertEquals(await world.scan(), { same: 20 });
  // Emptied but for one: that is meant.
  for (let at = 1; at < 20; at++) await Deno.remove(world.at(`f${at}`));
  assertEquals([await world.scan(), await count()], [{ same: 1, deleted: 19 }, 1]);
});

Deno.test("a file is gone only where its folder is on the disk that it was on", async () => {
  await using world = await World.open();
  for (const name of ["a", "disk/b", "disk/deep/c", "d"]) await world.write(name, name);
  await world.scan();
  // As if a disk had been mounted there, whose place is what is left.
  for (const path of ["/disk/b", "/disk/deep/c"]) world.table.set({ ...world.table.get(path)!, device: "another" });
  await Deno.remove(world.at("disk/deep"), { recursive: true });
  await Deno.remove(world.at("d"));
  assertEquals(await world.scan(), { same: 2, deleted: 1, "held back": 1 });
  assertEquals(Object.keys(await world.objects()), ["/a", "/disk/b", "/disk/deep/c"]);
  // A disk that is there under another number is noted.
  assertEquals(world.table.get("/disk/b")!.device, world.table.get("/a")!.device);
});

Deno.test("another folder is published: the objects of the former stay, those in both stay ours", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.write("b", "two");
  await world.scan();
  const folder = join(world.temp, "moved");
  await Deno.mkdir(folder);
  for (const [name, text] of [["b", "two"], ["c", "three"]] as const) {
    await Deno.writeTextFile(join(folder, name), text);
  }
  await world.restart({ folder });
  assertEquals(await world.scan(), { same: 1, published: 1 });
  assertEquals(await world.objects(), { "/a": "one", "/b": "two", "/c": "three" });
  await Deno.remove(join(folder, "b"));
  assertEquals(await world.scan(), { same: 1, deleted: 1 });
  assertEquals(await world.objects(), { "/a": "one", "/c": "three" });
});

Deno.test("what is no file of ours is passed over, and said once", async () => {
  await using world = await World.open();
  const out = join(world.temp, "secret");
  await Deno.writeTextFile(out, "secret");
  await Deno.mkdir(join(world.temp, "outside"));
  await Deno.writeTextFile(join(world.temp, "outside", "x"), "secret");
  await world.write("real/a", "a");
  await world.write(".hidden", "h");
  await world.write(".git/config", "h");
  await world.write("-/v1/servers", "no path of an object");
  await world.write("back\\slash", "no path either");
  await world.write("large", "x".repeat((1 << 20) + 1));
  await Deno.symlink(out, world.at("leads-out"));
  await Deno.symlink(join(world.temp, "outside"), world.at("folder-out"));
  await Deno.symlink("no such", world.at("nowhere"));
  await Deno.symlink("real", world.at("again"));
  await Deno.symlink("real/a", world.at("inside"));
  using _socket = Deno.listen({ transport: "unix", path: world.at("socket") });
  const bad = await new Deno.Command("sh", { args: ["-c", `printf x > "$1/$(printf 'bad\\377')"`, "sh", world.folder] })
    .output();
  assert(bad.success);
  const done = await world.scan();
  assertEquals(done, { published: 2, "passed over": 11 }, world.log.join("\n"));
  assertEquals(await world.objects(), { "/inside": "a", "/real/a": "a" });
  const said = world.log.length;
  await world.scan();
  // As an event would name it: through a link, and hidden.
  for (const name of ["folder-out/x", "again/a", ".git/config", "leads-out"]) {
    assertEquals(await world.look(name), { "passed over": 1 }, name);
  }
  assertEquals(world.log.filter((line) => line.includes("leads-out")).length, 1);
  assertEquals(world.log.length - said, 3, "only what was not named before");
  assertEquals(await world.objects(), { "/inside": "a", "/real/a": "a" });
  // A file whose place a link outside takes is a file no more.
  await Deno.remove(world.at("real/a"));
  await Deno.symlink(out, world.at("real/a"));
  assertEquals(await world.look("real/a"), { "passed over": 1, deleted: 1 });
});

Deno.test("a file that cannot be read is said once, keeps its object, and stops no other", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.write("b", "two");
  await world.scan();
  await Deno.remove(world.at("a"));
  await Deno.symlink("a", world.at("a")); // a loop: whoever asks what it is gets an error
  await world.write("c", "three");
  assertEquals(await world.scan(), { failed: 1, same: 1, published: 1, "held back": 1 });
  const warnings = () => world.log.filter((line) => line.includes("WARN")).length;
  const before = warnings();
  await world.scan();
  assertEquals([Object.keys(await world.objects()), warnings()], [["/a", "/b", "/c"], before]);
});

Deno.test("a server that takes no writes ends the scan; the next one goes on", async () => {
  await using world = await World.open();
  await world.write("a", "one");
  await world.write("b", "two");
  const full = new CdnError("Cannot take in the body: no room", { source: "server", status: 507 });
  let asked = 0;
  await world.restart({ store: { stage: () => (asked++, Promise.reject(full)) } });
  const error = await assertRejects(() => world.scan(), CdnError);
  assertEquals([error.status, asked], [507, 1]);
  await world.restart();
  assertEquals(await world.scan(), { published: 2 });
});

Deno.test("an upload that comes while a file is read is looked at again, not overwritten unseen", async () => {
  await using world = await World.open();
  await world.write("a", "file");
  await world.restart({
    store: {
      stage: async (source, expected) => {
        const staged = await world.store.stage(source, expected);
        if (await world.store.get("/a") === null) await world.upload("/a", "upload");
        return staged;
      },
    },
  });
  assertEquals(await world.scan(), { moving: 1 });
  assertEquals(await world.scan(), { same: 1 });
  assertEquals(await world.objects(), { "/a": "upload" }, "it is newer than the file");
});

Deno.test("a scan that takes long says how far it is", async () => {
  await using world = await World.open();
  for (let at = 0; at < 5; at++) await world.write(`f${at}`, String(at));
  await world.restart({
    store: {
      stage: (source, expected) => {
        world.nowMs += 6000;
        return world.store.stage(source, expected);
      },
    },
  });
  await world.scan();
  const progress = world.log.map((line) => /published \d+ of \d+ files/.exec(line)?.[0]).filter(Boolean);
  assertEquals(progress, ["published 2 of 5 files", "published 4 of 5 files"]);
  assertStringIncludes(world.log.join("\n"), "folder=");
});
