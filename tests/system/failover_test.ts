/** A server dies in the middle of a download; the file that curl gets is whole. */
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { sha256 } from "../../runtime/signature.ts";
import { eventually } from "../kit/mod.ts";
import { has } from "./clients.ts";
import { startWorld } from "./world.ts";

const MIB = 1 << 20;

Deno.test({
  name: "the chosen server is killed in the middle of a 100 MiB download: the file is whole",
  ignore: !has("curl"),
  async fn() {
    await using world = await startWorld();
    const bytes = new Uint8Array(100 * MIB);
    for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
    await world.put("/film.bin", bytes);
    const out = `${world.folder}/film.bin`;
    // Slow enough that most of the file is still to come when its server dies.
    const curl = new Deno.Command("curl", {
      args: ["-sf", "--limit-rate", "20M", "-o", out, "-D", `${out}.head`, `${world.proxy.url}/film.bin`],
    }).spawn();
    await eventually(async () => (await Deno.stat(out)).size > 5 * MIB, { what: "the download under way" });
    const [, chosen] = /^metacdn-route: server="([ab])"/m.exec(await Deno.readTextFile(`${out}.head`))!;
    await world.servers[chosen as "a" | "b"].kill();
    const reached = (await Deno.stat(out)).size;
    assertEquals(reached < 90 * MIB, true, "the server died too late to show anything");

    assertEquals((await curl.status).code, 0);
    const hash = createHash("sha256");
    using file = await Deno.open(out);
    for await (const part of file.readable) hash.update(part);
    assertEquals(hash.digest("hex"), sha256(bytes));

    const next = await fetch(`${world.proxy.url}/film.bin`, { headers: { range: "bytes=0-9" } });
    assertEquals(new Uint8Array(await next.arrayBuffer()), bytes.subarray(0, 10));
    assertMatch(next.headers.get("metacdn-route") ?? "", /^server="[ab]"/);
    assertNotEquals(/server="([ab])"/.exec(next.headers.get("metacdn-route")!)![1], chosen);
  },
});
