/** What operators do with whole servers: drain, remove, ask what would be lost; and commits that must wait for copies. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { drained, eventually, startTestServer, tempDir, type TestServer } from "../kit/mod.ts";
import { digest, quick } from "./cluster/node.ts";

const secrets = { token: "a-token-for-tests-only", clusterKey: new TextEncoder().encode("a cluster key for tests") };
const cluster = { ...quick, copiesWaitMs: 2000 };
const json = { "content-type": "application/json" };

interface Listed {
  id: string;
  draining?: boolean;
  health: { state: string; lagObjects: string };
}

async function servers(server: TestServer): Promise<Listed[]> {
  return (await (await server.fetch("/-/v1/servers")).json()).servers;
}

/** Both know each other, and none lacks anything. */
async function atRest(...all: TestServer[]): Promise<void> {
  for (const server of all) {
    await eventually(async () => {
      const list = await servers(server);
      return list.length === all.length &&
        list.every(({ health: { state, lagObjects } }) =>
          (state === "self" || state === "alive") && lagObjects === "0"
        );
    }, { what: `${server.id} is at rest` });
  }
}

function change(server: TestServer, id: string, draining: boolean, headers: Record<string, string> = {}) {
  return server.fetch(`/-/v1/servers/${id}`, {
    method: "PATCH",
    headers: { ...json, ...headers },
    body: JSON.stringify({ draining }),
  });
}

async function put(server: TestServer, path: string, body: string): Promise<{ status: number; detail: string }> {
  const response = await server.fetch(path, { method: "PUT", body });
  const text = await response.text();
  return { status: response.status, detail: response.ok ? "" : JSON.parse(text).detail };
}

Deno.test("a server that is drained, by a word to another one, refuses writes with the reason, serves, and is let go on", async () => {
  await using a = await startTestServer({ id: "a", secrets, cluster });
  await using b = await startTestServer({ id: "b", secrets, cluster, peers: [a.url] });
  await atRest(a, b);
  assertEquals((await put(b, "/x", "x")).status, 201);
  assertEquals((await (await change(a, "b", true)).json()).draining, true);
  for (const server of [a, b]) {
    // What proxies go by.
    await eventually(async () => (await servers(server)).find(({ id }) => id === "b")!.draining, {
      what: `${server.id} lists b as draining`,
    });
  }
  for (const method of ["PUT", "DELETE"]) {
    const response = await b.fetch("/x", { method, ...(method === "PUT" && { body: "y" }) });
    assertEquals([response.status, response.headers.has("retry-after")], [503, true], method);
    assertStringIncludes((await response.json()).detail, "being drained");
  }
  assertEquals(await (await b.fetch("/x")).text(), "x");
  assertEquals((await drained(change(a, "b", false))).status, 200);
  await eventually(async () => (await put(b, "/x", "z")).status < 300, { what: "b writes again" });
  await eventually(async () => await (await a.fetch("/x")).text() === "z", { what: "a has it" });
});

Deno.test("who has no token changes nothing, and ids that nobody has are a 404", async () => {
  await using a = await startTestServer({ id: "a", secrets, cluster });
  await using b = await startTestServer({ id: "b", secrets, cluster, peers: [a.url] });
  await atRest(a, b);
  for (const authorization of ["", "Bearer wrong"]) {
    assertEquals((await drained(change(a, "b", true, { authorization }))).status, 401);
    const headers = { authorization };
    assertEquals((await drained(a.fetch("/-/v1/servers/b", { method: "DELETE", headers }))).status, 401);
    assertEquals((await drained(a.fetch("/-/v1/durability", { headers }))).status, 401);
  }
  for (const method of ["PATCH", "DELETE"]) {
    const unknown = await a.fetch("/-/v1/servers/nobody", {
      method,
      ...(method === "PATCH" && { headers: json, body: '{"draining":true}' }),
    });
    assertEquals(unknown.status, 404);
    assertStringIncludes((await unknown.json()).detail, "There is no server nobody");
  }
  assertEquals((await drained(a.fetch("/-/v1/servers/a", { method: "DELETE" }))).status, 409);
  assertEquals((await servers(a)).map(({ id, draining }) => [id, draining ?? false]), [["a", false], ["b", false]]);
  assertEquals((await drained(a.fetch("/-/v1/servers/b", { method: "DELETE" }))).status, 204);
  assertEquals((await servers(a)).map(({ id }) => id), ["a"]);
  const add = a.fetch("/-/v1/servers", { method: "POST", headers: json, body: JSON.stringify({ url: b.url }) });
  assertEquals((await drained(add)).status, 201);
  await atRest(a, b);
});

Deno.test("what would be lost: nothing where two have all; what one alone has is named; the dead are not asked", async () => {
  let gives = true;
  const withoutBodies =
    ((url: string, init: RequestInit) =>
      gives || !url.includes("/peer/bodies")
        ? fetch(url, init)
        : Promise.reject(new TypeError("no way for bodies"))) as typeof fetch;
  await using a = await startTestServer({ id: "a", secrets, cluster });
  const b = await startTestServer({ id: "b", secrets, cluster, peers: [a.url], fetch: withoutBodies });
  await using _b = b;
  await atRest(a, b);
  const durability = async () => await (await a.fetch("/-/v1/durability")).json();
  const ofServers = (
    { risks = [] }: { risks?: { kind: string; name: string; lostObjects: string; examples: string[] }[] },
  ) =>
    risks.filter(({ kind }) => kind === "server").map((
      { name, lostObjects, examples },
    ) => [name, lostObjects, examples]);
  for (const path of ["/one", "/two"]) assertEquals((await put(a, path, path)).status, 201);
  await atRest(a, b);
  const both = await durability();
  assertEquals([both.objects, both.servers, both.minCopies, ofServers(both)], ["2", 2, 2, []]);
  // Both are in one place: that one is a risk.
  assert(both.risks.some(({ kind }: { kind: string }) => kind === "provider"), JSON.stringify(both.risks));

  gives = false;
  const alone = await put(a, "/alone", "alone".repeat(20_000)); // what is small goes along with its offer
  assertEquals(alone.status, 503);
  assertStringIncludes(alone.detail, "1 of 2");
  assertEquals(ofServers(await durability()), [["a", "1", ["/alone"]]]);
  gives = true;
  await eventually(async () => ofServers(await durability()).length === 0, { what: "b has it" });

  await b.stop();
  const without = await durability();
  assertEquals([without.unasked, ofServers(without)], [["b"], [["a", "3", []]]]);
});

Deno.test("a commit that finds too few copies keeps its session; the next one sends nothing and gives the same version", async () => {
  await using dir = await tempDir();
  await using a = await startTestServer({ id: "a", secrets, cluster });
  const b = await startTestServer({ id: "b", data: dir.path, secrets, cluster, peers: [a.url] });
  await atRest(a, b);
  await b.stop();
  const body = new TextEncoder().encode("all of the bytes");
  const sha256 = digest(body);
  const ask = (path: string, message: unknown) =>
    a.fetch(path, { method: "POST", headers: json, body: JSON.stringify(message) });
  const { id } = await (await ask("/-/v1/uploads", { path: "/up", size: String(body.length) })).json();
  const field = `sha-256=:${Uint8Array.fromHex(sha256).toBase64()}:`;
  const sent = a.fetch(`/-/v1/uploads/${id}/chunks/0`, {
    method: "PUT",
    body,
    headers: { "content-type": "application/octet-stream", "content-digest": field },
  });
  assertEquals((await drained(sent)).status, 200);
  const commit = () => ask(`/-/v1/uploads/${id}/commit`, { size: String(body.length), sha256 });
  for (let round = 0; round < 2; round++) {
    const refused = await commit();
    assertEquals(refused.status, 503);
    assertStringIncludes((await refused.json()).detail, "1 of 2");
  }
  // It is kept, and readers have it already.
  const before = await a.fetch("/up");
  assertEquals(await before.text(), "all of the bytes");
  assert((await (await a.fetch(`/-/v1/uploads/${id}`)).json()).state !== "COMMITTED");
  await using again = await startTestServer({ id: "b", data: dir.path, secrets, cluster });
  const done = await eventually(async () => {
    const response = await commit();
    return response.ok ? await response.json() : (await response.body?.cancel(), null);
  }, { what: "the commit goes through" });
  assertEquals([done.state, done.copies], ["COMMITTED", 2]);
  const after = await again.fetch("/up");
  await after.body?.cancel();
  assertEquals(after.headers.get("metacdn-version"), before.headers.get("metacdn-version"));
});
