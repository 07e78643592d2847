/** What real caches between us and the viewer make of the fields that the caching policy sets. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { sha256 } from "../../runtime/signature.ts";
import { tempDir } from "../kit/mod.ts";
import { client, has } from "./clients.ts";
import { type AskedServer, startAskedServer, startSquid, startVarnish } from "./last_mile.ts";

const policy = [
  { glob: "/live/**", noStore: true },
  { glob: "/**", contentAddressed: true },
  { glob: "/checked/**", noCache: true },
  { glob: "/own/**", maxAgeSeconds: 600, private: true },
  { glob: "/shared/**", maxAgeSeconds: 0, sharedMaxAgeSeconds: 600 },
  { glob: "/**/*.bin", maxAgeSeconds: 600 },
];
const bytes = Uint8Array.from({ length: 3 << 20 }, (_, at) => (at * 31) ^ (at >> 9));
const small = bytes.slice(0, 1000);
const objects = {
  "/film.bin": bytes,
  "/range.bin": bytes,
  "/app.3f2a91bc.js": small,
  "/live/score.json": small,
  "/checked/a.txt": small,
  "/own/a.txt": small,
  "/shared/a.txt": small,
  "/unnamed.txt": small,
};

/** A viewer behind a cache: curl, with what its user asked of it. Each is a process and a connection of its own. */
type Viewer = (path: string, ...args: string[]) => Promise<{ status: number; digest: string }>;

function viewerOf(folder: string, url: (path: string) => string[]): Viewer {
  const out = join(folder, "out");
  return async (path, ...args) => {
    await Deno.writeFile(out, new Uint8Array());
    const status = await client("curl", ["-s", "-o", out, "-w", "%{http_code}", ...args, ...url(path)]);
    return { status: Number(status), digest: sha256(await Deno.readFile(out)) };
  };
}

/** What has to hold behind any cache that goes by RFC 9111. */
async function behaves(server: AskedServer, view: Viewer): Promise<void> {
  const twice = async (path: string, ...args: string[]) => {
    for (let time = 0; time < 2; time++) {
      assertEquals(await view(path, ...args), { status: 200, digest: sha256(objects[path as keyof typeof objects]) });
    }
    return server.asked();
  };
  assertEquals(await twice("/film.bin"), ["GET /film.bin 200"], "the second viewer costs us nothing");
  assertEquals(await twice("/unnamed.txt"), ["GET /unnamed.txt 200"]);
  assertEquals(await twice("/app.3f2a91bc.js"), ["GET /app.3f2a91bc.js 200"]);
  assertEquals(await twice("/shared/a.txt"), ["GET /shared/a.txt 200"], "s-maxage counts there, not max-age=0");
  assertEquals(await twice("/live/score.json"), ["GET /live/score.json 200", "GET /live/score.json 200"]);
  assertEquals(await twice("/own/a.txt"), ["GET /own/a.txt 200", "GET /own/a.txt 200"]);

  // Part of what it has costs us nothing either.
  const part = { status: 206, digest: sha256(bytes.subarray(1_000_000, 1_500_000)) };
  assertEquals(await view("/film.bin", "-r", "1000000-1499999"), part);
  assertEquals(server.asked(), []);
  // Part of what it does not have is right, however it goes about it.
  assertEquals(await view("/range.bin", "-r", "1000000-1499999"), part);
  assertEquals(new Set(server.asked().map((line) => line.split(" ")[1])), new Set(["/range.bin"]));

  // A new version of what may be kept without asking is not asked for: that is what a lifetime means.
  const changed = await fetch(`${server.url}/unnamed.txt`, { method: "PUT", body: "changed" });
  assertEquals([changed.status, server.asked()], [204, ["PUT /unnamed.txt 204"]]);
  assertEquals((await view("/unnamed.txt")).digest, sha256(small));
  assertEquals(server.asked(), []);
}

Deno.test({
  name: "Squid as the provider's cache: the second viewer behind it costs us no request",
  ignore: !has("squid") || !has("curl"),
  async fn() {
    await using folder = await tempDir();
    await using server = await startAskedServer(policy, objects);
    await using squid = await startSquid();
    const view = viewerOf(folder.path, (path) => ["-x", squid.url, server.url + path]);
    await behaves(server, view);

    // no-cache: kept, and asked for each time; a 304 is all that travels.
    await view("/checked/a.txt");
    assertEquals(await view("/checked/a.txt"), { status: 200, digest: sha256(small) });
    assertEquals(server.asked(), ["GET /checked/a.txt 200", "GET /checked/a.txt 304"]);

    // Who asks for it anew (a reload) has it checked, and the others find it fresh again.
    assertEquals((await view("/film.bin", "-H", "Cache-Control: max-age=0")).digest, sha256(bytes));
    assertEquals(server.asked(), ["GET /film.bin 304"]);
    assertEquals((await view("/film.bin")).digest, sha256(bytes));
    assertEquals(server.asked(), []);
  },
});

Deno.test({
  name: "Varnish before a server, with its own rules: the second viewer behind it costs us no request",
  ignore: !has("varnishd") || !has("curl"),
  async fn() {
    await using folder = await tempDir();
    await using server = await startAskedServer(policy, objects);
    await using varnish = await startVarnish(server.url);
    // By our name, as behind a load balancer: we answer for no other on loopback.
    const host = `Host: ${new URL(server.url).host}`;
    const view = viewerOf(folder.path, (path) => ["-H", host, varnish.url + path]);
    await behaves(server, view);

    // no-cache: Varnish keeps none of it.
    await view("/checked/a.txt");
    assertEquals(await view("/checked/a.txt"), { status: 200, digest: sha256(small) });
    assertEquals(server.asked(), ["GET /checked/a.txt 200", "GET /checked/a.txt 200"]);
  },
});
