/** A proxy is a local caller to its servers: what they let local callers see, it must not pass on to everybody. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { drained, startTestServer } from "../kit/mod.ts";
import { measured, testProxy } from "./kit.ts";

const token = "correct-horse-battery-staple";

Deno.test("a proxy with a token wants it for the listing, also where its servers have none", async () => {
  await using server = await startTestServer({ id: "a" });
  await drained(server.fetch("/secret-name", { method: "PUT", body: "open to who knows the name" }));
  const face = { url: server.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any], { secrets: { token, clusterKey: null } });
  await measured(proxy, 1);
  for (const path of ["/", "/?limit=1", "/?prefix=/s"]) {
    for (const method of ["GET", "HEAD"]) {
      for (const headers of [{}, { authorization: "Bearer wrong" }, { accept: "text/html" }]) {
        assertEquals((await drained(fetch(proxy.url + path, { method, headers }))).status, 401, `${method} ${path}`);
      }
    }
  }
  const listed = await fetch(`${proxy.url}/`, { headers: { authorization: `Bearer ${token}` } });
  assertEquals(listed.status, 200);
  assertStringIncludes(await listed.text(), "/secret-name");
  assertEquals((await drained(fetch(`${proxy.url}/secret-name`))).status, 200);
});

Deno.test("a server's token holds behind a proxy that has none", async () => {
  const clusterKey = new TextEncoder().encode("a cluster key of some length");
  await using keyed = await startTestServer({ id: "b", secrets: { token, clusterKey } });
  const face = { url: keyed.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any], { secrets: { token: null, clusterKey } });
  await measured(proxy, 1);
  for (const [method, path] of [["GET", "/"], ["PUT", "/y"], ["DELETE", "/x"]] as const) {
    const init = { method, ...(method === "PUT" ? { body: "y" } : {}) };
    assertEquals((await drained(fetch(proxy.url + path, init))).status, 401, `${method} ${path}`);
    const headers = { authorization: `Bearer ${token}` };
    const right = await drained(fetch(proxy.url + path, { ...init, headers }));
    assertEquals(right.status, method === "DELETE" ? 404 : method === "PUT" ? 201 : 200, `${method} ${path}`);
  }
});
