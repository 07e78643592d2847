/** The walk of a request through an edge: miss, one flight to a content server, stored, hit, range, purge, outage. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { drained, startTestServer, tempDir } from "../kit/mod.ts";

Deno.test("an edge pulls from a content server, keeps, purges, and stands in while it is down", async () => {
  await using folder = await tempDir();
  await using origin = await startTestServer({ id: "origin" });
  await using edge = await startTestServer({
    id: "edge",
    role: "edge",
    edge: { origins: [origin.url], folder: folder.path, diskBytes: 64 << 20, memoryBytes: 16 << 20 },
  });
  const body = crypto.getRandomValues(new Uint8Array(60_000));
  const put = (bytes: Uint8Array<ArrayBuffer>) => origin.fetch("/photo.jpg", { method: "PUT", body: bytes });
  assertEquals((await drained(put(body))).status, 201);

  const status = (response: Response) => response.headers.get("cache-status")!;
  const first = await edge.fetch("/photo.jpg");
  assertEquals(await first.bytes(), body);
  assertStringIncludes(status(first), "edge;fwd=uri-miss;fwd-status=200;stored");
  assertEquals(first.headers.get("content-type"), "image/jpeg");
  const second = await edge.fetch("/photo.jpg");
  assertEquals(await second.bytes(), body);
  assertStringIncludes(status(second), "edge;hit");
  const part = await edge.fetch("/photo.jpg", { headers: { range: "bytes=1000-1999" } });
  assertEquals([part.status, await part.bytes()], [206, body.slice(1000, 2000)]);
  assertStringIncludes(status(part), "edge;hit");

  // What was written at the origin is not known here, until it is purged.
  const newer = crypto.getRandomValues(new Uint8Array(50_000));
  await drained(put(newer));
  assertEquals(await (await edge.fetch("/photo.jpg")).bytes(), body);
  const purged = await edge.fetch("/-/v1/purge", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ urls: [`${edge.url}/photo.jpg`], soft: true }),
  });
  const report = await purged.json();
  assertEquals([report.members.length, report.members[0].acknowledged, Number(report.members[0].removed)], [
    1,
    true,
    1,
  ]);
  const third = await edge.fetch("/photo.jpg");
  assertEquals(await third.bytes(), newer);

  // While the origin is down, what is fresh is served; what is not there is a 502.
  await origin.stop();
  assertEquals(await (await edge.fetch("/photo.jpg")).bytes(), newer);
  const missing = await edge.fetch("/other.jpg");
  assertEquals([missing.status, missing.headers.get("content-type")], [502, "application/problem+json"]);
  await missing.body?.cancel();
});
