import { assert, assertEquals } from "@std/assert";
import { randomNonce, signRequest } from "../../runtime/signature.ts";
import { memoryStore } from "../../server/store/mod.ts";
import { drained, rawRequest, startTestServer } from "../kit/mod.ts";

const token = "correct-horse-battery-staple";
const clusterKey = new TextEncoder().encode("a cluster key of some length");
const digest = "0".repeat(64);

/** What an answer without the right to it would change or tell. */
const guarded: [method: string, path: string][] = [
  ["PUT", "/x"],
  ["DELETE", "/x"],
  ["GET", "/"],
  ["HEAD", "/"],
  ["GET", "/-/v1/objects"],
  ["POST", "/-/v1/uploads"],
  ["GET", "/-/v1/uploads/abc"],
  ["DELETE", "/-/v1/uploads/abc"],
  ["PUT", "/-/v1/uploads/abc/chunks/0"],
  ["POST", "/-/v1/uploads/abc/commit"],
  ["GET", "/-/v1/servers"],
  ["GET", "/-/v1/servers/a"],
  ["POST", "/-/v1/servers"],
  ["DELETE", "/-/v1/servers/a"],
  ["POST", "/-/v1/purge"],
];
const forPeers: [method: string, path: string][] = [
  ["POST", "/-/v1/peer/servers"],
  ["POST", "/-/v1/peer/offers"],
  ["POST", "/-/v1/peer/purge"],
  ["POST", "/-/v1/peer/purges"],
  ["GET", `/-/v1/peer/bodies/${digest}`],
  ["GET", "/-/v1/peer/probe?bytes=10"],
];

async function ask(url: string, method: string, headers: Record<string, string> = {}) {
  return await drained(fetch(url, {
    method,
    headers,
    ...(method === "POST" || method === "PUT" ? { body: "{}" } : {}),
  }));
}

Deno.test("with a token: no write, no admin, no listing without it or with another one", async () => {
  await using server = await startTestServer({ store: memoryStore(), secrets: { token, clusterKey } });
  assertEquals((await drained(server.fetch("/x", { method: "PUT", body: "kept" }))).status, 201);
  for (const [method, path] of [...guarded, ...forPeers]) {
    for (const authorization of [undefined, "Bearer wrong", `Basic ${token}`, `Bearer ${token}x`, "Bearer "]) {
      if (authorization?.includes(token) && path.includes("/peer/")) continue;
      const response = await ask(server.url + path, method, authorization === undefined ? {} : { authorization });
      assertEquals(response.status, 401, `${method} ${path} with ${authorization}`);
      assert(response.headers.get("www-authenticate"));
    }
  }
  for (const [method, path] of forPeers) {
    const response = await ask(server.url + path, method, { authorization: `Bearer ${token}` });
    assertEquals(response.status, 401, `${method} ${path}: the token is no cluster key`);
  }
  assertEquals(await (await fetch(`${server.url}/x`)).text(), "kept");
  for (const open of ["/x", "/-/v1/objects/x", "/-/healthz", "/-/readyz"]) {
    assertEquals((await ask(server.url + open, "GET")).status, 200, open);
  }
  for (const path of ["/", "/-/v1/objects", "/-/v1/servers"]) {
    assertEquals((await ask(server.url + path, "GET", { authorization: `bearer ${token}` })).status, 200, path);
  }
});

Deno.test("the cluster key opens the list of servers and the probe, once a signature, and nothing that only servers do", async () => {
  await using server = await startTestServer({ store: memoryStore(), secrets: { token, clusterKey } });
  const signed = (method: string, path: string, key = clusterKey, nowMs = Date.now()) => {
    const url = server.url + path;
    const body = method === "POST" ? new TextEncoder().encode("{}") : null;
    const fields = signRequest({ method, url, body }, { key, nowMs, nonce: randomNonce() });
    return { url, fields: { "content-type": "application/json", ...fields } };
  };
  for (const path of ["/-/v1/servers", `/-/v1/servers/${server.id}`, "/-/v1/peer/probe?bytes=10"]) {
    const { url, fields } = signed("GET", path);
    assertEquals((await ask(url, "GET", fields)).status, 200, path);
    assertEquals((await ask(url, "GET", fields)).status, 401, `${path} played again`);
  }
  const other = signed("GET", "/-/v1/servers", new TextEncoder().encode("another cluster key"));
  assertEquals((await ask(other.url, "GET", other.fields)).status, 401);
  for (const name of ["ping", "servers", "offers", "tree", "manifests", "lacks"]) {
    const { url, fields } = signed("POST", `/-/v1/peer/${name}`);
    assertEquals((await ask(url, "POST", fields)).status, 401, `${name} needs a server's own signature`);
  }
  const body = signed("GET", `/-/v1/peer/bodies/${"0".repeat(64)}`);
  assertEquals((await ask(body.url, "GET", body.fields)).status, 401);
  const old = signed("GET", "/-/v1/servers", clusterKey, Date.now() - 3_600_000);
  assertEquals((await ask(old.url, "GET", old.fields)).status, 401);
  for (const [method, path] of [["PUT", "/x"], ["DELETE", `/-/v1/servers/other`], ["GET", "/-/v1/objects"]] as const) {
    const write = signed(method, path);
    assertEquals((await ask(write.url, method, write.fields)).status, 401, `${method} ${path} needs the token`);
  }
});

Deno.test("without a token: writes only for loopback names, and not from pages of elsewhere", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  const put = (lines: string[]) =>
    rawRequest(
      server.port,
      ["PUT /x HTTP/1.1", ...lines, "content-length: 3", "connection: close", "", "abc"].join("\r\n"),
    );
  const here = `127.0.0.1:${server.port}`;
  const refused = [
    [`host: evil.example.com`], // DNS rebinding
    [`host: evil.example.com:${server.port}`],
    [`host: 127.0.0.1.evil.example.com`],
    [`host: ${here}`, "origin: http://evil.example.com"],
    [`host: ${here}`, "origin: null"],
    [`host: ${here}`, `origin: http://127.0.0.1:${server.port + 1}`],
    [`host: ${here}`, `origin: https://${here}`],
  ];
  for (const lines of refused) assertEquals((await put(lines)).status, 403, String(lines));
  assertEquals((await drained(server.fetch("/x", { method: "HEAD" }))).status, 404);
  for (const lines of [[`host: ${here}`], [`host: ${here}`, `origin: http://${here}`], ["host: localhost"]]) {
    assert([201, 204].includes((await put(lines)).status), String(lines));
  }
  for (const [method, path] of [...guarded, ...forPeers]) {
    const lines = [
      `${method} ${path} HTTP/1.1`,
      "host: evil.example.com",
      "content-length: 2",
      "connection: close",
      "",
      "{}",
    ];
    assertEquals((await rawRequest(server.port, lines.join("\r\n"))).status, 403, `${method} ${path}`);
  }
  assertEquals((await rawRequest(server.port, "GET /x HTTP/1.1\r\nhost: cdn.example.com\r\n\r\n")).status, 200);
});
