/** The walk of replication through whole servers: over HTTP, signed with the cluster key, from disk to disk. */
import { assert, assertEquals } from "@std/assert";
import { codecOf, type Encoding } from "../../../proto/mod.ts";
import type { Secrets } from "../../../runtime/guard.ts";
import { eventually, startTestServer, type TestServer } from "../../kit/mod.ts";
import { digest, noise, quick } from "./node.ts";

const secrets: Secrets = {
  token: "a-token-for-tests-only",
  clusterKey: new TextEncoder().encode("a cluster key for tests only"),
};

async function three(encoding: Encoding) {
  await using stack = new AsyncDisposableStack();
  const servers: TestServer[] = [];
  for (const id of ["a", "b", "c"]) {
    const peers = servers.slice(0, 1).map(({ url }) => url);
    const options = { id, peers, secrets, codec: codecOf(encoding), cluster: quick };
    servers.push(stack.use(await startTestServer(options)));
  }
  const moved = stack.move();
  return { servers, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

async function sees(server: TestServer, path: string, expected: string | null): Promise<void> {
  await eventually(async () => {
    const response = await server.fetch(path);
    const found = response.ok ? digest(await response.bytes()) : (await response.body?.cancel(), null);
    return found === expected || (() => {
      throw new Error(`${response.status} ${found}`);
    })();
  }, { what: `${server.id} has ${path}` });
}

/** Each server reaches all others, and none lacks anything. */
async function untilAtRest(servers: TestServer[]): Promise<void> {
  for (const server of servers) {
    await eventually(async () => {
      const list = await (await server.fetch("/-/v1/servers")).json() as {
        servers: { health: { state: string; lagObjects: string } }[];
      };
      return list.servers.length === servers.length &&
        list.servers.every(({ health }) =>
          (health.state === "self" || health.state === "alive") && health.lagObjects === "0"
        );
    }, { what: `${server.id} sees ${servers.length} servers without lag` });
  }
}

for (const encoding of ["json", "protobuf"] as Encoding[]) {
  Deno.test(`an upload to one server is one to all, and so is a delete (${encoding})`, async () => {
    await using cluster = await three(encoding);
    const [a, b, c] = cluster.servers as [TestServer, TestServer, TestServer];
    const photo = noise(3_000_001);
    const put = await a.fetch("/album/photo.jpg", {
      method: "PUT",
      body: photo,
      headers: { "content-type": "image/jpeg" },
    });
    await put.body?.cancel();
    assertEquals(put.status, 201);
    for (const server of [b, c]) await sees(server, "/album/photo.jpg", digest(photo));
    const [fromA, fromC] = [await a.fetch("/album/photo.jpg"), await c.fetch("/album/photo.jpg")];
    for (const name of ["etag", "content-type", "last-modified", "repr-digest"]) {
      assertEquals(fromC.headers.get(name), fromA.headers.get(name), name);
    }
    await Promise.all([fromA.body?.cancel(), fromC.body?.cancel()]);

    const deleted = await c.fetch("/album/photo.jpg", { method: "DELETE" });
    await deleted.body?.cancel();
    assert(deleted.ok);
    for (const server of [a, b]) await sees(server, "/album/photo.jpg", null);

    await untilAtRest(cluster.servers);
  });
}

Deno.test("without the cluster key nobody is let in", async () => {
  await using cluster = await three("json");
  const [a] = cluster.servers as [TestServer];
  for (const path of ["/-/v1/peer/servers", "/-/v1/peer/offers"]) {
    const response = await a.fetch(path, {
      method: "POST",
      body: '{"servers":[]}',
      headers: { "content-type": "application/json" },
    });
    await response.body?.cancel();
    assertEquals(response.status, 401);
  }
});

Deno.test("a server that was killed in between has everything when it is back", async () => {
  await using cluster = await three("json");
  const [a, b] = cluster.servers as [TestServer, TestServer];
  await untilAtRest(cluster.servers);
  await b.stop();
  const content = noise(200_000, 4);
  for (let at = 0; at < 20; at++) {
    const put = await a.fetch(`/while-away/${at}`, { method: "PUT", body: content });
    await put.body?.cancel();
  }
  await using again = await startTestServer({ id: "b", data: b.data, secrets, cluster: quick });
  for (const at of [0, 19]) await sees(again, `/while-away/${at}`, digest(content));
});
