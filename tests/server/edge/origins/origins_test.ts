/** Which origin is asked, when the next one is, and what becomes of those that fail. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CdnError } from "../../../../proto/mod.ts";
import { createOrigins } from "../../../../server/edge/origins/mod.ts";
import { FakeServer, until } from "../../../kit/fake_server.ts";
import {
  answer,
  ask,
  Clock,
  middle,
  nobody,
  origins,
  reaching,
  reachingFromTheSecond,
  request,
  stream,
  text,
} from "./kit.ts";

Deno.test("the first is asked, and says who it is; its answer is as it sent it", async () => {
  await using first = FakeServer.answering(answer(200, "first", 'ETag: "a"\r\n'));
  await using second = FakeServer.answering(answer(200, "second"));
  using asked = origins({ urls: [first.url, second.url] });
  const response = await asked.send(request());
  assertEquals([response.from, response.status, response.contentLength], [first.url, 200, 5]);
  assertEquals(response.headers, [["etag", '"a"'], ["content-length", "5"]]);
  assertEquals(await text(response), "first");
  for (let times = 0; times < 20; times++) assertEquals(await ask(asked), "200 first");
  assertEquals([first.accepted, second.accepted], [1, 0], "one connection, used again");
  assertEquals(asked.states(), [
    { url: first.url, healthy: true, active: 0, waiting: 0, reason: "", requests: 21, failures: 0, bytes: 21 * 5 },
    { url: second.url, healthy: true, active: 0, waiting: 0, reason: "", requests: 0, failures: 0, bytes: 0 },
  ]);
});

Deno.test("origins must be some, and be origins; one that is named twice is one", () => {
  assertThrows(() => createOrigins({ urls: [] }), TypeError);
  assertThrows(() => createOrigins({ urls: ["http://a.example/base"] }), Error, "must end after host and port");
  using asked = origins({ urls: ["http://A.example", "http://a.example:80/", "https://a.example"] });
  assertEquals(asked.states().map(({ url }) => url), ["http://a.example", "https://a.example"]);
});

Deno.test("a redirect is an answer, and followed nowhere", async () => {
  await using elsewhere = FakeServer.answering(answer(200, "secret"));
  await using origin = FakeServer.answering(answer(302, "", `Location: ${elsewhere.url}/latest/meta-data\r\n`));
  using asked = origins({ urls: [origin.url] });
  const response = await asked.send(request());
  assertEquals([response.status, response.headers[0]], [302, ["location", `${elsewhere.url}/latest/meta-data`]]);
  assertEquals(elsewhere.accepted, 0);
});

Deno.test("who breaks, is late or not there is passed over for the next", async (t) => {
  await using good = FakeServer.answering(answer(200, "good"));
  const failing: [string, string | (() => FakeServer)][] = [
    ["nobody there", nobody()],
    ["a connection that closes", () => new FakeServer(async (peer) => void await peer.head())],
    ["no answer in time", () => new FakeServer(async (peer) => void await peer.rest(() => false))],
    ["no HTTP", () => FakeServer.answering("SSH-2.0-OpenSSH\r\n")],
    [
      "lengths that differ",
      () => FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ],
    ["length and coding", () =>
      FakeServer.answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      )],
    ...[500, 502, 503, 504].map((status): [string, () => FakeServer] => [
      `${status}`,
      () => FakeServer.answering(answer(status, "sorry")),
    ]),
  ];
  for (const [name, server] of failing) {
    await t.step(name, async () => {
      await using bad = typeof server === "string" ? null : server();
      using asked = origins({
        urls: [bad?.url ?? server as string, good.url],
        settings: { headTimeoutMs: name === "no answer in time" ? 50 : 30_000 },
      });
      for (const method of ["GET", "HEAD", "OPTIONS"]) {
        const response = await asked.send(request({ method }));
        assertEquals([response.status, response.from], [200, good.url]);
        response.body?.cancel();
      }
      const [first, second] = asked.states();
      assertEquals([first!.requests, first!.failures, second!.failures], [3, 3, 0]);
      assertEquals([first!.active, second!.active], [0, 0]);
      assertEquals(first!.healthy, name === "500", "a 500 may be one page's fault");
    });
  }
});

Deno.test("other errors are answers: the first that has one is heard", async () => {
  for (const status of [400, 401, 403, 404, 410, 416, 429, 501, 505]) {
    await using first = FakeServer.answering(answer(status, "no"));
    await using second = FakeServer.answering(answer(200, "yes"));
    using asked = origins({ urls: [first.url, second.url] });
    assertEquals(await ask(asked), `${status} no`);
    assertEquals(second.accepted, 0);
  }
});

Deno.test("where all fail, the first that answered is passed on, whole; no other is left open", async () => {
  await using broken = FakeServer.answering("nonsense");
  await using first = FakeServer.answering(answer(503, "x".repeat(100_000), "Retry-After: 7\r\n"));
  await using second = FakeServer.answering(answer(500, "y".repeat(100_000)));
  using asked = origins({ urls: [broken.url, first.url, second.url] });
  const response = await asked.send(request());
  assertEquals([response.status, response.from], [503, first.url]);
  assertEquals(response.headers[0], ["retry-after", "7"]);
  assertEquals(asked.states().map(({ active }) => active), [0, 1, 0]);
  assertEquals((await text(response)).length, 100_000);
  assertEquals(asked.states().map(({ active }) => active), [0, 0, 0]);
  await until(() => second.open === 0, "the second's connection to be closed");
});

Deno.test("a request goes to so many origins and no more", async () => {
  const servers = [1, 2, 3, 4].map(() => FakeServer.answering("nonsense"));
  using asked = origins({ urls: servers.map(({ url }) => url), settings: { maxAttempts: 2 } });
  await assertRejects(() => asked.send(request()), CdnError);
  assertEquals(servers.map(({ accepted }) => accepted), [1, 1, 0, 0]);
  for (const server of servers) await server[Symbol.asyncDispose]();
});

Deno.test("errors say what was wrong, as the origin's fault, and name no origin", async () => {
  await using broken = FakeServer.answering("nonsense");
  await using silent = new FakeServer(async (peer) => void await peer.rest(() => false));
  for (
    const [url, status, why] of [
      [nobody(), 502, "it cannot be reached"],
      [broken.url, 502, "its answer is broken"],
      [silent.url, 504, "no answer came in time"],
    ] as const
  ) {
    using asked = origins({ urls: [url], settings: { headTimeoutMs: 50 } });
    const error = await assertRejects(() => asked.send(request()), CdnError, why);
    assertEquals([error.source, error.status, error.retry], ["origin", status, true]);
    assert(!error.message.includes("127.0.0.1"));
  }
});

Deno.test("what is not idempotent is sent once where it may have arrived, and goes on where it has not", async () => {
  await using second = FakeServer.answering(answer(200, "second"));
  await using closes = new FakeServer(async (peer) => void await peer.head());
  await using fails = FakeServer.answering(answer(503, "busy"));
  for (const method of ["POST", "PATCH"]) {
    using unreachable = origins({ urls: [nobody(), second.url] });
    assertEquals(await ask(unreachable, { method }), "200 second");
    using lost = origins({ urls: [closes.url, second.url] });
    await assertRejects(() => lost.send(request({ method })), CdnError, "its answer is broken");
    using told = origins({ urls: [fails.url, second.url] });
    assertEquals(await ask(told, { method }), "503 busy");
  }
});

Deno.test("a body goes to one origin alone; where none could be reached it goes whole to the next", async () => {
  let got = "";
  await using second = new FakeServer(async (peer) => {
    await peer.head();
    got = await peer.rest((text) => text.endsWith("body"));
    await peer.send(answer(200, "taken"));
  });
  const sent = (): Partial<Parameters<typeof request>[0]> => ({
    method: "PUT",
    body: stream("a ", "body"),
    bodyLength: 6,
  });
  using unreachable = origins({ urls: [nobody(), second.url] });
  assertEquals([await ask(unreachable, sent()), got], ["200 taken", "a body"]);

  await using closes = new FakeServer(async (peer) => {
    await peer.head();
    await peer.rest((text) => text.includes("a "));
  });
  using lost = origins({ urls: [closes.url, second.url] });
  await assertRejects(() => lost.send(request(sent())), CdnError, "its answer is broken");
  await using fails = FakeServer.answering(answer(503, "busy"));
  using told = origins({ urls: [fails.url, second.url] });
  assertEquals(await ask(told, sent()), "503 busy");
  assertEquals(second.accepted, 1);
});

Deno.test("so many failures in a row take an origin out: it is asked no more, probed in its time, and back", async () => {
  const clock = new Clock();
  let well = false;
  const probes: string[] = [];
  await using first = new FakeServer(async (peer) => {
    for (let head; (head = await peer.head()) !== null;) {
      if (head.startsWith("GET /health ")) probes.push(head);
      await peer.send(answer(well ? 404 : 503, "first"));
    }
  });
  await using second = FakeServer.answering(answer(200, "second"));
  const lines: string[] = [];
  const log = {
    debug() {},
    error() {},
    info: (message: string) => void lines.push(message),
    warn: (message: string) => void lines.push(message),
  };
  using asked = origins({
    urls: [first.url, second.url],
    settings: { probeTarget: "/health" },
    ...clock,
    random: middle,
    log,
  });
  for (let times = 0; times < 10; times++) assertEquals(await ask(asked), "200 second");
  const out = asked.states()[0]!;
  assertEquals([out.healthy, out.reason, out.requests, out.failures], [false, "it answered 503", 3, 3]);
  assertEquals([clock.alarms, probes.length], [[1000], 0]);

  clock.pass(1000);
  await until(() => clock.alarms.length === 1, "a second probe to be planned");
  assertEquals([clock.alarms, probes.length, asked.states()[0]!.reason], [[2000], 1, "it answered a probe with 503"]);
  assertEquals(await ask(asked), "200 second");
  well = true;
  clock.pass(2000);
  await until(() => asked.states()[0]!.healthy, "the first to be back");
  assertEquals([clock.alarms, probes.length], [[], 2], "who is well is not probed");
  assertEquals(await ask(asked), "404 first");
  assertEquals(asked.states()[0]!.requests, 4, "probes apart");
  assertEquals(lines, ["an origin is out", "an origin is back"]);
});

Deno.test("where all are out they are tried all the same, so many at a time; the first answer brings them back", async () => {
  const clock = new Clock();
  let mode: "down" | "hang" | "answer" = "down";
  const release = Promise.withResolvers<void>();
  let hanging = 0;
  await using only = new FakeServer(async (peer) => {
    while (await peer.head() !== null) {
      if (mode === "hang") {
        hanging++;
        await release.promise;
      }
      await peer.send(answer(200, "back"));
    }
  });
  using transport = reaching(() => mode === "down");
  using asked = origins({ urls: [only.url], transport, settings: { maxTrials: 2 }, ...clock, random: middle });
  for (let times = 0; times < 5; times++) {
    await assertRejects(() => asked.send(request()), CdnError, "it cannot be reached");
  }
  assertEquals(asked.states()[0]!.healthy, false);

  mode = "hang";
  const trials = [ask(asked), ask(asked)];
  await until(() => hanging === 2, "two trials");
  const refused = await assertRejects(() => asked.send(request()), CdnError, "failed again and again");
  assertEquals([refused.status, refused.source, refused.retry, refused.retryAfterSeconds], [503, "origin", true, 1]);
  mode = "answer";
  release.resolve();
  assertEquals(await Promise.all(trials), ["200 back", "200 back"]);
  assertEquals([asked.states()[0]!.healthy, clock.alarms], [true, []]);
});

Deno.test("one that is out is asked where the others give no answer, and not where one has", async () => {
  const clock = new Clock();
  let answering = "";
  await using first = new FakeServer(async (peer) => {
    while (await peer.head() !== null && answering !== "") await peer.send(answering);
  });
  let other = answer(200, "second");
  await using second = new FakeServer(async (peer) => {
    while (await peer.head() !== null && other !== "") await peer.send(other);
  });
  using asked = origins({ urls: [first.url, second.url], ...clock, random: middle });
  for (let times = 0; times < 3; times++) await ask(asked);
  assertEquals(asked.states().map(({ healthy }) => healthy), [false, true]);
  const before = asked.states()[0]!.requests;
  other = answer(500, "one bad page");
  assertEquals(await ask(asked), "500 one bad page");
  assertEquals(asked.states()[0]!.requests, before);
  other = "";
  answering = answer(200, "first again");
  assertEquals(await ask(asked), "200 first again");
});

Deno.test("bodies that break off count, whatever their heads said", async () => {
  const clock = new Clock();
  await using first = new FakeServer(async (peer) => {
    await peer.head();
    await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  });
  await using second = FakeServer.answering(answer(200, "second"));
  using asked = origins({ urls: [first.url, second.url], ...clock, random: middle });
  for (let times = 0; times < 3; times++) await assertRejects(() => ask(asked), Error, "5 bytes before the body did");
  assertEquals(await ask(asked), "200 second");
  assertEquals(asked.states()[0]!.failures, 3);
});

Deno.test("a closed set asks nobody, and leaves no alarm", async () => {
  const clock = new Clock();
  await using only = FakeServer.answering("nonsense");
  using transport = reachingFromTheSecond();
  const asked = createOrigins({
    urls: [only.url],
    transport,
    settings: { failuresInARow: 1 },
    ...clock,
    random: middle,
  });
  await assertRejects(() => asked.send(request()), CdnError);
  assertEquals(clock.alarms.length, 1);
  asked.close();
  const { status } = await assertRejects(() => asked.send(request()), CdnError);
  assertEquals([status, clock.alarms, only.accepted], [503, [], 0]);
});

Deno.test("a probe that is under way ends with the set", async () => {
  const clock = new Clock();
  let heads = 0;
  await using only = new FakeServer(async (peer) => {
    await peer.head();
    heads++;
    await peer.rest(() => false);
  });
  using transport = reachingFromTheSecond();
  const asked = createOrigins({
    urls: [only.url],
    transport,
    settings: { failuresInARow: 1 },
    ...clock,
    random: middle,
  });
  await assertRejects(() => asked.send(request()), CdnError);
  clock.pass(1000);
  await until(() => heads === 1, "the probe");
  asked.close();
  await until(() => only.open === 0, "its connection to be closed");
  assertEquals(clock.alarms, []);
});

Deno.test("a probe reads no body: a long one is given up", async () => {
  const clock = new Clock();
  await using only = new FakeServer(async (peer) => {
    await peer.head();
    await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun");
    await peer.rest(() => false);
  });
  using transport = reachingFromTheSecond();
  using asked = origins({ urls: [only.url], transport, settings: { failuresInARow: 1 }, ...clock, random: middle });
  await assertRejects(() => asked.send(request()), CdnError);
  assertEquals(asked.states()[0]!.healthy, false);
  clock.pass(1000);
  await until(() => asked.states()[0]!.healthy, "the origin to be back");
  await until(() => only.open === 0, "the probe's connection to be closed");
});

Deno.test("a probe that fails after a request has brought the origin back takes nothing away", async () => {
  const clock = new Clock();
  const fail = Promise.withResolvers<void>();
  let heads = 0;
  await using only = new FakeServer(async (peer) => {
    await peer.head();
    const which = ++heads;
    if (which === 1) await fail.promise;
    else await peer.send(answer(200, "back"));
  });
  using transport = reachingFromTheSecond();
  using asked = origins({ urls: [only.url], transport, settings: { failuresInARow: 1 }, ...clock, random: middle });
  await assertRejects(() => asked.send(request()), CdnError);
  clock.pass(1000);
  await until(() => heads === 1, "the probe");
  assertEquals(await ask(asked), "200 back");
  fail.resolve();
  await until(() => only.open === 0, "the probe to have failed");
  assertEquals(await ask(asked), "200 back");
  assertEquals([asked.states()[0]!.healthy, clock.alarms], [true, []]);
});

Deno.test("a sole origin is not taken out by what it answers: anybody may know a URL that it answers with an error", async () => {
  const clock = new Clock();
  let number = 0;
  await using only = new FakeServer(async (peer) => {
    while (await peer.head() !== null) {
      if (++number % 2) await peer.send(answer(503, "sick"));
      else return;
    }
  });
  using asked = origins({ urls: [only.url], settings: { failuresInARow: 1 }, ...clock, random: middle });
  for (let times = 0; times < 6; times++) await ask(asked).catch(() => {});
  assertEquals([asked.states()[0]!.healthy, clock.alarms], [true, []]);
});
