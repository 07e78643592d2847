/** The request walk: listen -> exchange -> route -> lookup -> store -> respond. */
import { assertEquals, assertMatch } from "@std/assert";
import { formatEntityTag } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { startTestServer } from "../kit/mod.ts";

Deno.test("request: what was put is served, whole, in part, and not again to whom has it", async () => {
  await using server = await startTestServer();
  const bytes = crypto.getRandomValues(new Uint8Array(50_000));
  const put = await server.fetch("/walks/photo.jpg", { method: "PUT", body: bytes });
  assertEquals([put.status, await put.text()], [201, ""]);
  const etag = formatEntityTag(sha256(bytes));

  const whole = await server.fetch("/walks/photo.jpg");
  assertEquals(whole.status, 200);
  assertEquals(whole.headers.get("etag"), etag);
  assertEquals(whole.headers.get("content-type"), "image/jpeg");
  assertMatch(whole.headers.get("cache-control") ?? "", /max-age=2419200/);
  assertEquals(new Uint8Array(await whole.arrayBuffer()), bytes);

  const part = await server.fetch("/walks/photo.jpg", { headers: { range: "bytes=100-199" } });
  assertEquals([part.status, part.headers.get("content-range")], [206, "bytes 100-199/50000"]);
  assertEquals(new Uint8Array(await part.arrayBuffer()), bytes.subarray(100, 200));

  const again = await server.fetch("/walks/photo.jpg", { headers: { "if-none-match": etag } });
  assertEquals([again.status, await again.text()], [304, ""]);

  const gone = await server.fetch("/walks/photo.jpg", { method: "DELETE" });
  assertEquals(gone.status, 204);
  const missing = await server.fetch("/walks/photo.jpg");
  assertEquals([missing.status, missing.headers.get("content-type")], [404, "application/problem+json"]);
  await missing.body?.cancel();
});
