/** A request that was signed for one server is not taken by another. */
import { assertEquals } from "@std/assert";
import { randomNonce, signRequest } from "../../runtime/signature.ts";
import { eventually, startTestServer } from "../kit/mod.ts";

const clusterKey = new TextEncoder().encode("a-cluster-key-of-some-length");

Deno.test("what was signed for a server cannot be played to another one that knows it", async () => {
  const secrets = { token: null, clusterKey };
  await using a = await startTestServer({ id: "a", secrets, cluster: { pingMs: 50 } });
  await using b = await startTestServer({ id: "b", secrets, peers: [a.url], cluster: { pingMs: 50 } });
  const sign = (url: string) =>
    signRequest({ method: "GET", url }, { key: clusterKey, nowMs: Date.now(), nonce: randomNonce() });
  /** Sends what was signed for `signedFor` to the server at `to`. */
  const play = async (signedFor: string, to: number) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: to });
    const fields = Object.entries(sign(`${signedFor}/-/v1/servers`)).map(([name, value]) => `${name}: ${value}\r\n`);
    const { host } = new URL(signedFor);
    const head = `GET /-/v1/servers HTTP/1.1\r\nhost: ${host}\r\n${fields.join("")}connection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    const answer = await new Response(connection.readable).text();
    return Number(answer.split(" ", 2)[1]);
  };
  await eventually(async () => {
    const headers = sign(`${b.url}/-/v1/servers`);
    return (await (await fetch(`${b.url}/-/v1/servers`, { headers })).json()).servers.length === 2;
  }, { what: "b knowing a" });
  assertEquals(await play(a.url, a.port), 200);
  assertEquals(await play(b.url, b.port), 200);
  assertEquals(await play(a.url, b.port), 421);
  // By a name of its own that no other server has: an operator may call a server by several.
  assertEquals(await play(`http://localhost:${b.port}`, b.port), 200);
});
