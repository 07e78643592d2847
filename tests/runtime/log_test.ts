import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { CdnError } from "../../proto/mod.ts";
import { createLogger, type LogFormat, silentLogger } from "../../runtime/log.ts";
import { problemResponse } from "../../runtime/problem.ts";

function lines(format: LogFormat, level: "debug" | "info" | "warn" | "error" | "silent" = "debug") {
  const written: string[] = [];
  return { written, log: createLogger({ format, level, now: () => 0, write: (line) => written.push(line) }) };
}

Deno.test("an event is one line with its time, level, program and fields", () => {
  const text = lines("text");
  text.log.info("a peer answered", { peer: "node-a", ms: 12, why: "two words", none: undefined, big: 5n });
  assertEquals(text.written, [
    '1970-01-01T00:00:00.000Z INFO  metacdn: a peer answered peer=node-a ms=12 why="two words" none=null big="5"',
  ]);
  const json = lines("json");
  json.log.warn("a peer answered", { peer: "node-a", big: 5n });
  assertEquals(JSON.parse(json.written[0]!), {
    time: "1970-01-01T00:00:00.000Z",
    level: "warn",
    program: "metacdn",
    message: "a peer answered",
    peer: "node-a",
    big: "5",
  });
});

Deno.test("whatever it is given, a log line is one line, without a terminal's control characters", () => {
  for (const format of ["text", "json"] as const) {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.dictionary(fc.string({ unit: "binary" }), fc.anything({ withBigInt: true, withDate: true, withMap: true })),
        (message, fields) => {
          const { log, written } = lines(format);
          log.error(message, fields);
          assertEquals(written.length, 1);
          assert(!/[\p{Cc}\u2028\u2029]/u.test(written[0]!), JSON.stringify(written[0]));
          if (format === "json") JSON.parse(written[0]!);
        },
      ),
    );
  }
});

Deno.test("forged lines, colours and circles stay inside their line", () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  for (const format of ["text", "json"] as const) {
    const { log, written } = lines(format);
    log.info("x\n1970-01-01T00:00:00.000Z ERROR metacdn: forged", {
      path: "/a\r\nb\u001b[31m\u009b1m",
      circle,
      inner: { big: 1n },
    });
    log.error("failed", { error: new Error("first\nsecond") });
    assertEquals(written.length, 2);
    for (const line of written) assert(!/\p{Cc}/u.test(line));
    assertStringIncludes(written[1]!, "log_test.ts", "the stack is kept");
    if (format === "json") assertEquals(JSON.parse(written[0]!).level, "info");
  }
});

Deno.test("levels below the chosen one are silent", () => {
  const { log, written } = lines("text", "warn");
  log.debug("1");
  log.info("2");
  log.warn("3");
  log.error("4");
  assertEquals(written.map((line) => line.at(-1)), ["3", "4"]);
  const none = lines("text", "silent");
  none.log.error("x");
  silentLogger.error("x");
  assertEquals(none.written, []);
});

Deno.test("a CdnError becomes problem+json with its status, fields and headers", async () => {
  const { log, written } = lines("text");
  const answer = problemResponse(
    new CdnError("Cannot take it", {
      source: "client",
      status: 416,
      retry: true,
      retryAfterSeconds: 7,
      fields: [{ field: "a[0].b", detail: "must be c" }],
      headers: { "content-range": "bytes */5" },
    }),
    log,
  );
  assertEquals(answer.status, 416);
  assertEquals(answer.headers.get("content-type"), "application/problem+json");
  assertEquals(answer.headers.get("retry-after"), "7");
  assertEquals(answer.headers.get("content-range"), "bytes */5");
  assertEquals(await answer.json(), {
    type: "about:blank",
    title: "Range Not Satisfiable",
    status: 416,
    detail: "Cannot take it",
    errors: [{ field: "a[0].b", detail: "must be c" }],
    retry: true,
  });
  assertEquals(written, [], "a client's fault is not our news");
});

Deno.test("any other error is a 500 that tells the log all and the client nothing", async () => {
  const { log, written } = lines("text");
  for (const thrown of [new TypeError("secret in /etc/x"), "secret", null, undefined]) {
    const answer = problemResponse(thrown, log);
    assertEquals(answer.status, 500);
    assertEquals((await answer.text()).includes("secret"), false);
  }
  assertEquals(written.length, 4);
  assertStringIncludes(written[0]!, "secret in /etc/x");
});

Deno.test("a status by who failed", () => {
  const statuses = (["client", "server", "peer", "origin", "pricing"] as const).map((source) =>
    new CdnError("x", { source }).status
  );
  assertEquals(statuses, [400, 500, 502, 502, 502]);
});
