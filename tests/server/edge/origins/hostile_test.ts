/** What viewers and origins may try: nobody else is asked, nothing is smuggled, no answer is longer or shorter than it says. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { CdnError } from "../../../../proto/mod.ts";
import type { HeaderLine } from "../../../../runtime/http1/transport.ts";
import { FakeServer, until } from "../../../kit/fake_server.ts";
import { answer, ask, origins, request } from "./kit.ts";

/** Keeps the heads that it got. */
function listening(heads: string[]): FakeServer {
  return new FakeServer(async (peer) => {
    for (let head; (head = await peer.head()) !== null;) {
      heads.push(head);
      await peer.send(answer(200, "origin"));
    }
  });
}

Deno.test("no target chooses who is asked, or becomes more than one request", async () => {
  const heads: string[] = [];
  await using evil = FakeServer.answering(answer(200, "evil"));
  await using origin = listening(heads);
  using asked = origins({ urls: [origin.url], settings: { failuresInARow: 1 } });
  const host = new URL(origin.url).host;
  for (
    const target of [
      `//${new URL(evil.url).host}/x`,
      "/\\evil",
      "/x@evil",
      "/..//x",
      "/%0d%0aX:y",
      "*",
      "/?http://evil",
    ]
  ) {
    assertEquals(await ask(asked, { target }), "200 origin");
    assertEquals(heads.splice(0), [`GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`]);
  }
  for (
    const target of [
      `${evil.url}/x`,
      "http://evil/x",
      "evil/x",
      "@evil/x",
      "",
      "x",
      "\\\\evil",
      "/x HTTP/1.1\r\nX: y",
      "/x HTTP/1.1\r\n\r\nGET /admin",
      "/x\r\n",
      "/x\n",
      "/a b",
      "/a\tb",
      "/\0",
      "/\u0100",
      "/\u010d\u010a",
    ]
  ) {
    const error = await assertRejects(() => asked.send(request({ target })), CdnError, "The target must", target);
    assertEquals([error.source, error.status], ["client", 400]);
  }
  assertEquals([heads, evil.accepted], [[], 0]);
  const { healthy, active, failures } = asked.states()[0]!;
  assertEquals([healthy, active, failures], [true, 0, 0], "the origin is not to blame");
});

Deno.test("no field chooses who is asked, and none can frame the message", async () => {
  const heads: string[] = [];
  await using evil = FakeServer.answering(answer(200, "evil"));
  await using origin = listening(heads);
  using asked = origins({ urls: [origin.url] });
  const elsewhere = new URL(evil.url).host;
  const harmless: HeaderLine[] = [
    ["x-forwarded-host", elsewhere],
    ["forwarded", `host="${elsewhere}"`],
    ["x-original-url", evil.url],
    ["x-rewrite-url", evil.url],
    ["alt-used", elsewhere],
  ];
  assertEquals(await ask(asked, { fields: harmless }), "200 origin");
  assertStringIncludes(heads.splice(0)[0]!, `\r\nhost: ${new URL(origin.url).host}\r\n`);
  for (
    const line of [
      ["host", elsewhere],
      ["content-length", "5"],
      ["transfer-encoding", "chunked"],
      ["connection", "close"],
      ["te", "trailers"],
      ["upgrade", "h2c"],
      ["x", "y\r\nhost: evil"],
      ["x", "y\nz"],
      ["x", "\0"],
      ["x y", "z"],
      ["x:", "z"],
      ["", "z"],
      ["x\r\nhost", "evil"],
    ] as HeaderLine[]
  ) {
    const error = await assertRejects(() => asked.send(request({ fields: [line] })), CdnError, "", line.join(": "));
    assertEquals([error.source, error.status], ["client", 400]);
  }
  for (const method of ["", "GET /evil HTTP/1.1\r\n\r\nGET", "G ET", "GET\r\n"]) {
    await assertRejects(() => asked.send(request({ method })), CdnError, "The method must be a token");
  }
  assertEquals([heads, evil.accepted, asked.states()[0]!.active], [[], 0, 0]);
});

Deno.test("whatever the target is: one request comes of it, to the origin, or none", async () => {
  const heads: string[] = [];
  await using origin = listening(heads);
  using asked = origins({ urls: [origin.url] });
  const host = new URL(origin.url).host;
  const piece = fc.constantFrom(
    "/",
    "//",
    "http://",
    "evil",
    "\r\n",
    "\n",
    " ",
    "\t",
    "HTTP/1.1",
    "?",
    "#",
    "@",
    "\\",
    ":",
    "é",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 8 }), async (pieces) => {
      const target = pieces.join("");
      const sent = await asked.send(request({ target })).then((response) => {
        response.body?.cancel();
        return true;
      }, (error) => {
        if (error instanceof CdnError && error.source === "client") return false;
        throw error;
      });
      assertEquals(heads.splice(0), sent ? [`GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`] : []);
    }),
    { numRuns: 300 },
  );
});

Deno.test("answers that are not what they say are errors, never a short or long success", async (t) => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const cases: [name: string, bytes: string, why: string][] = [
    ["shorter than its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "5 bytes before the body did"],
    ["no last chunk", `${chunked}5\r\nhello\r\n`, "before the last chunk"],
    ["half a chunk", `${chunked}5\r\nhel`, "before the last chunk"],
    ["a chunk without its size", `${chunked}hello`, "not hexadecimal"],
    ["a chunk that is longer", `${chunked}3\r\nhello\r\n0\r\n\r\n`, "longer than its size"],
    ["a negative size", `${chunked}-5\r\nhello\r\n0\r\n\r\n`, "not hexadecimal"],
    ["a size beyond all bounds", `${chunked}fffffffffffffffff\r\n`, "too large"],
    ["a size with LF alone", `${chunked}5\nhello\r\n0\r\n\r\n`, "not hexadecimal"],
  ];
  for (const [name, bytes, why] of cases) {
    await t.step(name, async () => {
      await using origin = new FakeServer(async (peer) => {
        await peer.head();
        await peer.send(bytes);
      });
      using asked = origins({ urls: [origin.url] });
      // In the head's own bytes it may be seen before the head is handed on: then another origin could be asked.
      const error = await assertRejects(() => ask(asked), Error);
      assertStringIncludes(`${error.message} ${(error.cause as Error)?.message}`, why);
      const { active, failures } = asked.states()[0]!;
      assertEquals([active, failures], [0, 1]);
    });
  }
});

Deno.test("what comes after an answer is nobody's: its connection is used no more", async () => {
  await using origin = new FakeServer(async (peer) => {
    while (await peer.head() !== null) await peer.send(answer(200, "mine") + answer(200, "smuggled"));
  });
  using asked = origins({ urls: [origin.url] });
  for (let times = 1; times <= 3; times++) {
    assertEquals(await ask(asked), "200 mine");
    assertEquals(origin.accepted, times);
  }
  await until(() => origin.open === 0, "all to be closed");
});
