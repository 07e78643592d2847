/** What is said of peers that are refused. */
import { assertEquals } from "@std/assert";
import { CdnError } from "../../proto/mod.ts";
import { type LogFields, silentLogger } from "../../runtime/log.ts";
import { Refusals } from "../../server/refusals.ts";

const refusal = (message: string, status = 401) => new CdnError(message, { source: "client", status });

Deno.test("a refused peer is said once in ten minutes, each reason and address; strangers do not fill the log", () => {
  const said: LogFields[] = [];
  const refusals = new Refusals({ ...silentLogger, warn: (_: string, fields: LogFields = {}) => said.push(fields) });
  const ping = "/-/v1/peer/ping";
  const note = (why: string, from: string, nowMs: number) =>
    refusals.note({ url: ping }, refusal(why), { from, nowMs });
  for (let at = 0; at < 5; at++) note("wrong", "192.0.2.1", at * 1000);
  assertEquals(said, [{ from: "192.0.2.1", why: "wrong" }]);
  note("wrong", "192.0.2.2", 6000);
  note("expired", "192.0.2.1", 6000);
  assertEquals(said.length, 3);
  note("wrong", "192.0.2.1", 600_000);
  assertEquals(said.length, 4);
  for (let at = 0; at < 1000; at++) note(`key ${at}`, "192.0.2.1", 600_001);
  assertEquals(said.length, 3 + 50);

  refusals.note({ url: "/photo.jpg" }, refusal("no token"), { from: "192.0.2.1", nowMs: 2e6 });
  refusals.note({ url: ping }, refusal("malformed", 400), { from: "192.0.2.1", nowMs: 2e6 });
  refusals.note({ url: ping }, new Error("unexpected"), { from: "192.0.2.1", nowMs: 2e6 });
  assertEquals(said.length, 3 + 50);
});
