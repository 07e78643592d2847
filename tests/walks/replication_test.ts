/** The replication walk: upload client -> receive -> store -> replicate -> a peer's receive. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { run } from "../../cli/run.ts";
import { eventually, startTestServer, tempDir } from "../kit/mod.ts";

Deno.test("replication: what a client uploads to one server, every server serves, with its metadata", async () => {
  for (const encoding of ["json", "protobuf"]) {
    await using dir = await tempDir();
    await using a = await startTestServer({ id: "a", cluster: { pingMs: 50 } });
    await using b = await startTestServer({ id: "b", peers: [a.url], cluster: { pingMs: 50 } });
    await using c = await startTestServer({ id: "c", peers: [b.url], cluster: { pingMs: 50 } });
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const file = join(dir.path, "photo.jpg");
    await Deno.writeFile(file, bytes);
    await eventually(async () => {
      const { servers } = await (await a.fetch("/-/v1/servers")).json();
      return servers.length === 3;
    }, { what: "all servers known" });

    const status = await run([
      ...["upload", "--quiet", "--server", a.url, "--encoding", encoding, "--meta", "album=walks", "--as", "/p.jpg"],
      file,
    ]);
    assertEquals(status, 0);

    for (const server of [a, b, c]) {
      const answer = await eventually(async () => {
        const response = await server.fetch("/p.jpg");
        if (response.ok) return response;
        await response.body?.cancel();
        return null;
      }, { what: `the object at ${server.id}` });
      assertEquals(new Uint8Array(await answer.arrayBuffer()), bytes);
      assertEquals(answer.headers.get("metacdn-meta-album"), "walks");
      const manifest = await (await server.fetch("/-/v1/objects/p.jpg")).json();
      assertEquals([manifest.name, manifest.mediaType, manifest.version.server], ["photo.jpg", "image/jpeg", "a"]);
    }
  }
});
