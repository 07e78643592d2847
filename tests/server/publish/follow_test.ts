import { assertEquals } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { createLogger } from "../../../runtime/log.ts";
import { followFolder, type FollowOptions } from "../../../server/publish/follow.ts";
import { eventually } from "../../kit/mod.ts";
import { World } from "./kit.ts";

/** A follower over a world, with timers that the test lets go off, and changes that it tells of. */
class Following implements AsyncDisposable {
  readonly world: World;
  readonly log: string[] = [];
  /** Folders that are watched now. */
  readonly watched: string[] = [];
  tell: (name: string | null) => void = () => {};
  #timers: { action: () => void; atMs: number }[] = [];
  readonly #publisher;

  constructor(world: World, options: Partial<FollowOptions> = {}) {
    this.world = world;
    this.#publisher = followFolder({
      publishing: world.publishing,
      stop: world.stop,
      isReady: () => true,
      watch: (root, onChange) => {
        this.watched.push(root);
        this.tell = onChange;
        return { [Symbol.dispose]: () => void this.watched.splice(this.watched.indexOf(root), 1) };
      },
      rescanMs: 60_000,
      now: () => world.nowMs,
      schedule: (action, ms) => {
        const timer = { action, atMs: world.nowMs + ms };
        this.#timers.push(timer);
        return () => this.#timers = this.#timers.filter((other) => other !== timer);
      },
      log: createLogger({ write: (line) => void this.log.push(line) }),
      ...options,
    });
    this.#publisher.start();
  }

  /** Resolves when there is nothing to do but to wait; with how long. */
  async idle(): Promise<number> {
    const timer = await eventually(() => this.#timers[0], { what: "the follower waiting" });
    return timer.atMs - this.world.nowMs;
  }

  /** Lets the time come that is waited for. */
  async pass(): Promise<void> {
    this.world.nowMs += await this.idle();
    this.#timers.shift()!.action();
  }

  async published(): Promise<string[]> {
    return Object.keys(await this.world.objects());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#publisher.close();
  }
}

Deno.test("all is looked at first, then what is told of, and all again after a time", async () => {
  await using world = await World.open();
  await world.write("a", "x");
  await using following = new Following(world);
  assertEquals([await following.idle(), await following.published()], [60_000, ["/a"]]);
  assertEquals(following.log.filter((line) => line.includes("published 1 of 1 files")).length, 1);
  await world.write("b", "x");
  await world.write("unheard", "x");
  following.tell("b");
  await eventually(async () => (await following.published()).includes("/b"), { what: "/b" });
  await following.idle();
  assertEquals(await following.published(), ["/a", "/b"]);
  await following.pass();
  await eventually(async () => (await following.published()).includes("/unheard"), { what: "/unheard" });
});

Deno.test("what is being written is looked at when it is due, however often it is told of", async () => {
  await using world = await World.open();
  await using following = new Following(world);
  await following.idle();
  await world.write("film", "begin", { ageMs: 0 });
  for (let time = 0; time < 3; time++) {
    following.tell("film");
    await eventually(() => world.publishing.moving.has("film"), { what: "the file being waited for" });
    assertEquals(await following.idle(), 1000);
  }
  await following.pass();
  await eventually(async () => (await following.published()).includes("/film"), { what: "/film" });
});

Deno.test("where too much changes at once, or the system lost count, all is looked at", async () => {
  await using world = await World.open();
  await using following = new Following(world);
  await following.idle();
  await world.write("lost", "x");
  following.tell(null);
  await eventually(async () => (await following.published()).includes("/lost"), { what: "/lost" });
  await following.idle();
  await world.write("flood", "x");
  for (let at = 0; at <= 10_000; at++) following.tell(`none/${at}`);
  await eventually(async () => (await following.published()).includes("/flood"), { what: "/flood" });
});

Deno.test("another folder in its place is watched in the place of the former", async () => {
  await using world = await World.open();
  await using following = new Following(world);
  await following.idle();
  const [first] = following.watched;
  await Deno.rename(world.folder, `${world.folder}-1`);
  following.tell(null);
  await eventually(() => following.watched.length === 0, { what: "nothing being watched" });
  await Deno.mkdir(`${world.folder}-2`);
  await Deno.symlink(`${world.folder}-2`, world.folder);
  await following.pass();
  await eventually(() => following.watched.length === 1, { what: "the new one being watched" });
  assertEquals(following.watched, [first!.replace(/media$/, "media-2")]);
});

Deno.test("a folder that cannot be watched is scanned", async () => {
  await using world = await World.open();
  await using following = new Following(world, {
    watch: () => {
      throw new Error("no space left for watches");
    },
  });
  await following.idle();
  assertEquals(following.log.filter((line) => line.includes("by scans alone")).length, 1);
  await world.write("a", "x");
  await following.pass();
  await eventually(async () => (await following.published()).includes("/a"), { what: "/a" });
});

Deno.test("nothing is published before it is known what there is", async () => {
  await using world = await World.open();
  await world.write("a", "x");
  let ready = false;
  await using following = new Following(world, { isReady: () => ready });
  await following.pass();
  await following.idle();
  assertEquals([world.staged, following.watched], [0, []]);
  ready = true;
  await following.pass();
  await eventually(async () => (await following.published()).includes("/a"), { what: "/a" });
});

Deno.test("a server that takes no writes is asked again after a pause, and the reason said once", async () => {
  await using world = await World.open();
  await world.write("a", "x");
  let full = true;
  await world.restart({
    store: {
      stage: (source, expected) => {
        if (!full) return world.store.stage(source, expected);
        return Promise.reject(new CdnError("no room", { source: "server", status: 507 }));
      },
    },
  });
  await using following = new Following(world);
  await following.pass();
  assertEquals(await following.idle(), 60_000);
  assertEquals(following.log.filter((line) => line.includes("no room")).length, 1);
  full = false;
  await following.pass();
  await eventually(async () => (await following.published()).includes("/a"), { what: "/a" });
});

Deno.test("closing ends it in the middle of a file", async () => {
  await using world = await World.open();
  await world.write("a", "x".repeat(1 << 20));
  const reading = Promise.withResolvers<void>();
  const closing = Promise.withResolvers<void>();
  await world.restart({
    store: {
      stage: (source, expected) =>
        world.store.stage(
          (async function* () {
            for await (const piece of source as AsyncIterable<Uint8Array>) {
              yield piece;
              reading.resolve();
              await closing.promise;
            }
          })(),
          expected,
        ),
    },
  });
  const following = new Following(world);
  await reading.promise;
  const closed = following[Symbol.asyncDispose]();
  closing.resolve();
  await closed;
  assertEquals(await following.published(), []);
});
