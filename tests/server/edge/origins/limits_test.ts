/** How many are asked at a time, who waits, and that every place comes back. */
import { assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../../proto/mod.ts";
import { FakeServer, until } from "../../../kit/fake_server.ts";
import { answer, ask, Clock, middle, origins, request, text } from "./kit.ts";

const one = { maxActive: 1, maxWaiting: 1, maxWaitMs: 2500 };

/** Answers in full once it is let go. */
function held(): { server: FakeServer; seen: () => number; go: () => void } {
  const release = Promise.withResolvers<void>();
  let heads = 0;
  const server = new FakeServer(async (peer) => {
    while (await peer.head() !== null) {
      heads++;
      await release.promise;
      await peer.send(answer(200, "held"));
    }
  });
  return { server, seen: () => heads, go: release.resolve };
}

Deno.test("so many are asked at a time, so many wait, the rest is told when to come again", async () => {
  const clock = new Clock();
  const { server, seen, go } = held();
  await using origin = server;
  using asked = origins({ urls: [origin.url], settings: one, ...clock, random: middle });
  const first = ask(asked);
  await until(() => seen() === 1, "the first");
  const second = ask(asked);
  assertEquals([asked.states()[0]!.active, asked.states()[0]!.waiting], [1, 1]);
  const full = await assertRejects(() => asked.send(request()), CdnError, "too many requests wait");
  assertEquals([full.source, full.status, full.retry, full.retryAfterSeconds], ["origin", 503, true, 3]);
  go();
  assertEquals(await Promise.all([first, second]), ["200 held", "200 held"]);
  assertEquals([origin.accepted, asked.states()[0]!.active, clock.alarms], [1, 0, []]);
  assertEquals(asked.states()[0]!.healthy, true, "to be busy is no fault");
});

Deno.test("who waits too long is told so, and leaves the line", async () => {
  const clock = new Clock();
  const { server, seen, go } = held();
  await using origin = server;
  using asked = origins({ urls: [origin.url], settings: one, ...clock, random: middle });
  const first = ask(asked);
  await until(() => seen() === 1, "the first");
  const late = assertRejects(() => asked.send(request()), CdnError, "too many requests wait");
  clock.pass(2500);
  assertEquals((await late).status, 503);
  assertEquals(asked.states()[0]!.waiting, 0);
  go();
  await first;
});

Deno.test("where the first has no place the second is asked, and only where none has, one waits", async () => {
  const { server, seen, go } = held();
  await using first = server;
  await using second = FakeServer.answering(answer(200, "second"));
  using asked = origins({ urls: [first.url, second.url], settings: one });
  const waits = ask(asked);
  await until(() => seen() === 1, "the first");
  assertEquals(await ask(asked), "200 second");
  go();
  assertEquals(await waits, "200 held");
});

Deno.test("who has an answer, if a bad one, does not wait for a better one", async () => {
  const { server, seen, go } = held();
  await using second = server;
  await using first = FakeServer.answering(answer(500, "bad"));
  using asked = origins({ urls: [first.url, second.url], settings: one });
  const head = asked.send(request({ method: "HEAD" })); // its bad answer has no body, and holds no place
  await until(() => seen() === 1, "the second to be busy");
  assertEquals(asked.states().map(({ active }) => active), [0, 1]);
  let heard = "";
  const bad = ask(asked).then((text) => heard = text);
  await until(() => heard !== "" || asked.states()[1]!.waiting > 0, "an answer, or somebody who waits");
  assertEquals([heard, asked.states()[1]!.waiting], ["500 bad", 0]);
  await bad;
  go();
  assertEquals((await head).from, second.url);
  assertEquals(asked.states().map(({ active }) => active), [0, 0]);
});

Deno.test("when an origin goes out, who waits for it looks for another", async () => {
  const clock = new Clock();
  const fail = Promise.withResolvers<void>();
  let heads = 0;
  await using first = new FakeServer(async (peer) => {
    await peer.head();
    heads++;
    await fail.promise;
  });
  const { server, seen, go } = held();
  await using second = server;
  using asked = origins({
    urls: [first.url, second.url],
    settings: { ...one, maxWaiting: 5, failuresInARow: 1 },
    ...clock,
    random: middle,
  });
  const busy = [ask(asked), ask(asked)];
  await until(() => heads === 1 && seen() === 1, "both to be busy");
  const waiting = ask(asked);
  assertEquals(asked.states().map(({ waiting }) => waiting), [1, 0]);
  fail.resolve();
  await until(() => asked.states()[1]!.waiting === 2, "both to wait for the second");
  assertEquals([heads, asked.states()[0]!.waiting], [1, 0]);
  go();
  assertEquals(await Promise.all([...busy, waiting]), ["200 held", "200 held", "200 held"]);
});

Deno.test("a place comes back when the body has been read, is cancelled, breaks off, or its request is aborted", async (t) => {
  const whole = answer(200, "x".repeat(100_000));
  const slow = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nslow";
  const run = (
    name: string,
    bytes: string,
    closes: boolean,
    end: (response: Awaited<ReturnType<ReturnType<typeof origins>["send"]>>, abort: () => void) => unknown,
  ) =>
    t.step(name, async () => {
      await using origin = new FakeServer(async (peer) => {
        while (await peer.head() !== null) {
          await peer.send(bytes);
          if (closes) return;
        }
      });
      using asked = origins({ urls: [origin.url], settings: { ...one, maxWaiting: 0, idleTimeoutMs: 50 } });
      for (let times = 0; times < 3; times++) {
        const controller = new AbortController();
        const response = await asked.send(request({ signal: controller.signal }));
        assertEquals([response.status, asked.states()[0]!.active], [200, 1]);
        await end(response, () => controller.abort());
        assertEquals(asked.states()[0]!.active, 0);
      }
    });
  await run("read", whole, false, async (response) => assertEquals((await text(response)).length, 100_000));
  await run("cancelled", whole, false, (response) => response.body!.cancel());
  await run("cancelled after a part", slow, false, async (response) => {
    await response.body!.read(new Uint8Array(2));
    response.body!.cancel();
  });
  await run("aborted while nobody reads", slow, false, (_, abort) => abort());
  await run("aborted while somebody reads", slow, false, async (response, abort) => {
    const rest = assertRejects(() => text(response), Error, "aborted");
    abort();
    await rest;
  });
  await run("broken off", slow, true, (response) => assertRejects(() => text(response), Error, "6 bytes before"));
  // Two of these take the origin out, and the third is a trial: places are left all the same.
  await run("too slow", slow, false, (response) => assertRejects(() => text(response), Error, "paused for too long"));
  // Longer than what is read with the head, so that it is found while the body is read.
  const malformed = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n${"x".repeat(0x10000)}XX`;
  await run(
    "malformed chunks",
    malformed,
    false,
    (response) => assertRejects(() => text(response), Error, "a chunk is longer than its size"),
  );
});

Deno.test("answers without a body hold no place", async () => {
  for (
    const [method, head] of [["HEAD", answer(200)], ["GET", answer(304)], ["GET", answer(204)], ["GET", answer(200)]]
  ) {
    await using origin = FakeServer.answering(head!);
    using asked = origins({ urls: [origin.url], settings: one });
    for (let times = 0; times < 3; times++) {
      await asked.send(request({ method: method! }));
      assertEquals(asked.states()[0]!.active, 0);
    }
  }
});

Deno.test("an aborted request is nobody's fault, waits no longer, and goes to no other", async () => {
  const { server, seen, go } = held();
  await using origin = server;
  await using second = FakeServer.answering(answer(200, "second"));
  const settings = { ...one, failuresInARow: 1 };
  const clock = new Clock();
  using asked = origins({ urls: [origin.url], settings, ...clock, random: middle });
  using both = origins({ urls: [origin.url, second.url], settings, ...clock, random: middle });
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = (by: typeof asked) => assertRejects(() => by.send(request({ signal })), CdnError, "aborted");
  const under = [aborted(asked), aborted(both)];
  await until(() => seen() === 2, "both to be asked");
  const waits = aborted(asked);
  controller.abort();
  for (const error of await Promise.all([...under, waits, aborted(both)])) assertEquals(error.source, "client");
  for (const { healthy, active, waiting, failures } of [...asked.states(), ...both.states()]) {
    assertEquals([healthy, active, waiting, failures], [true, 0, 0, 0]);
  }
  assertEquals([clock.alarms, second.accepted], [[], 0]);
  go();
  await until(() => origin.open === 0, "the connections to be closed");
});

Deno.test("closing sends away who waits; who is being answered is answered", async () => {
  const { server, seen, go } = held();
  await using origin = server;
  using asked = origins({ urls: [origin.url], settings: one });
  const first = ask(asked);
  await until(() => seen() === 1, "the first");
  const waits = assertRejects(() => asked.send(request()), CdnError);
  asked.close();
  assertEquals((await waits).status, 503);
  go();
  assertEquals(await first, "200 held");
});
