/** curl puts a file as scripts do, straight to a server and through the proxy, and takes it off again. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { sha256 } from "../../runtime/signature.ts";
import { drained, eventually } from "../kit/mod.ts";
import { client, has } from "./clients.ts";
import { startWorld } from "./world.ts";

Deno.test({
  name: "curl -T puts a file, to a server and through the proxy; it comes back bit for bit, with its type",
  ignore: !has("curl"),
  async fn() {
    await using world = await startWorld();
    // Larger than what curl sends before it waits for 100 Continue (RFC 9110 §10.1.1).
    const bytes = Uint8Array.from({ length: 3 << 20 }, (_, at) => (at * 31) ^ (at >> 9));
    const [file, out] = [join(world.folder, "photo.jpg"), join(world.folder, "out.jpg")];
    await Deno.writeFile(file, bytes);
    for (const [name, { url }] of Object.entries({ server: world.servers.a, proxy: world.proxy })) {
      const target = `${url}/${name}/photo.jpg`;
      const format = ["-s", "-o", out, "-w", "%{http_code} %{content_type}"];
      assertEquals(await client("curl", [...format, "-T", file, target]), "201 ");
      assertEquals(await client("curl", [...format, target]), "200 image/jpeg");
      assertEquals(sha256(await Deno.readFile(out)), sha256(bytes));
      // The proxy may send what comes next to a server that has yet to hear of the first.
      await eventually(async () => (await drained(fetch(`${world.servers.b.url}/${name}/photo.jpg`))).ok, {
        what: "replication",
      });
      // From standard input, of a length that is not known; a second time it is a replacement.
      const piped = await client("sh", ["-c", `cat "$0" | curl -s -w '%{http_code}' -T - "$1"`, file, target]);
      assertEquals(piped, "204");
      assertEquals(await client("curl", [...format, "-X", "DELETE", target]), "204 ");
      await eventually(async () => (await client("curl", [...format, target])).startsWith("404"), {
        what: "nobody serving it any more",
      });
    }
  },
});
