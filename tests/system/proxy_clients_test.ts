/** curl, wget and Chromium get a photograph through the proxy, bit for bit. */
import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { samplePicture } from "../../cli/up/sample.ts";
import { sha256 } from "../../runtime/signature.ts";
import type { Seen } from "./browser.ts";
import { client, has } from "./clients.ts";
import { startWorld } from "./world.ts";

Deno.test({
  name: "curl and wget get a photograph through the proxy: by its address, by a name, and as a forward proxy",
  ignore: !has("curl") || !has("wget"),
  async fn() {
    await using world = await startWorld({ workers: 2 });
    const { proxy, servers, folder } = world;
    const picture = await samplePicture();
    await world.put("/photos/evening.jpg", picture);
    const same = async (file: string) => assertEquals(sha256(await Deno.readFile(file)), sha256(picture), file);
    const out = `${folder}/out.jpg`;

    await client("curl", ["-sf", "-o", out, "-D", `${folder}/head`, `${proxy.url}/photos/evening.jpg`]);
    await same(out);
    const head = await Deno.readTextFile(`${folder}/head`);
    assertMatch(head, /^metacdn-route: server="[ab]", policy=network, prices=fresh\r$/m);
    assertMatch(head, /^via: 1\.1 metacdn/m);
    assertMatch(head, /^server-timing: /m);

    await client("curl", ["-sf", "-o", out, "-H", "Host: cdn.example.com", `${proxy.url}/photos/evening.jpg`]);
    await same(out);
    await client("curl", ["-sf", "-o", out, "-x", proxy.url, `${servers.b.url}/photos/evening.jpg`]);
    await same(out);
    await client("curl", ["-sf", "-o", out, "-x", proxy.url, "http://cdn.example.com/photos/evening.jpg"]);
    await same(out);
    await client("wget", ["-q", "-O", out, "http://cdn.example.com/photos/evening.jpg"], { http_proxy: proxy.url });
    await same(out);

    // A download that broke off goes on where it stopped.
    await Deno.writeFile(out, picture.subarray(0, 100_000));
    await client("curl", ["-sf", "-C", "-", "-o", out, `${proxy.url}/photos/evening.jpg`]);
    await same(out);

    const status = (args: string[]) =>
      client("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", ...args]);
    assertEquals(await status(["-x", proxy.url, "http://example.org/"]), "403 000");
    const connect = await new Deno.Command("curl", {
      args: ["-s", "-o", "/dev/null", "-w", "%{http_connect}", "-x", proxy.url, "https://example.org/"],
    }).output();
    assertEquals(new TextDecoder().decode(connect.stdout), "405");
  },
});

Deno.test({
  name: "Chromium shows the photograph through the proxy, and reads it bit for bit",
  ignore: !has("chromium"),
  async fn() {
    await using world = await startWorld();
    const picture = await samplePicture();
    await world.put("/evening.jpg", picture);
    const driver = fromFileUrl(new URL("browser.ts", import.meta.url));
    const lines = await client(Deno.execPath(), [
      ...["run", "-A", "--quiet", driver, world.proxy.url],
      "http://cdn.example.com/evening.jpg",
      // By the proxy's own address too, as a reverse proxy.
      `${world.proxy.url}/evening.jpg`,
      `${world.proxy.url}/-/explain?path=/evening.jpg`,
    ]);
    const [named, direct, explained] = lines.trim().split("\n").map((line): Seen => JSON.parse(line));
    for (const seen of [named!, direct!]) {
      assertEquals([seen.status, seen.sha256, seen.picture], [200, sha256(picture), [1620, 1080]]);
      assertMatch(seen.route, /^server="[ab]", policy=network, prices=fresh$/);
    }
    assertEquals(explained!.status, 200);
    assertMatch(explained!.text, /network/);
  },
});
