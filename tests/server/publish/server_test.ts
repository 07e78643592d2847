/** A whole server that publishes a folder, with the system's own watching. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { drained, eventually, startTestServer, tempDir } from "../../kit/mod.ts";

Deno.test("a server follows its folder: what is put there is served, and handed to the others, and goes with its file", async () => {
  await using temp = await tempDir();
  const folder = join(temp.path, "media");
  await Deno.mkdir(folder);
  await Deno.writeTextFile(join(folder, "first.txt"), "first");
  // No scan but the first: the rest is heard of.
  const publish = { folder, settleMs: 100, rescanMs: 3_600_000 };
  await using other = await startTestServer();
  await using server = await startTestServer({ publish, peers: [other.url] });
  const serves = (path: string, text: string | null) =>
    eventually(async () => {
      for (const { url } of [server, other]) {
        const response = await fetch(url + path);
        if (await response.text() !== text && !(text === null && response.status === 404)) return false;
      }
      return true;
    }, { what: `${path} being ${text}` });

  await serves("/first.txt", "first");
  await Deno.mkdir(join(folder, "deep/er"), { recursive: true });
  await Deno.writeTextFile(join(folder, "deep/er/x.html"), "<p>");
  await serves("/deep/er/x.html", "<p>");
  const { headers } = await drained(server.fetch("/deep/er/x.html"));
  assertEquals(headers.get("content-type"), "text/html; charset=UTF-8");
  await Deno.writeTextFile(join(folder, "first.txt"), "second");
  await serves("/first.txt", "second");
  await Deno.writeTextFile(join(folder, ".first.new"), "third");
  await Deno.rename(join(folder, ".first.new"), join(folder, "first.txt"));
  await serves("/first.txt", "third");
  await Deno.rename(join(folder, "deep"), join(folder, "renamed"));
  await serves("/renamed/er/x.html", "<p>");
  await serves("/deep/er/x.html", null);
  await Deno.remove(join(folder, "renamed"), { recursive: true });
  await serves("/renamed/er/x.html", null);

  // Uploads go on beside it, and a restart changes nothing.
  assertEquals((await drained(server.fetch("/up", { method: "PUT", body: "up" }))).status, 201);
  const version = (await drained(server.fetch("/first.txt"))).headers.get("metacdn-version");
  await server.stop();
  await Deno.writeTextFile(join(folder, "while-down"), "x");
  await using again = await startTestServer({ publish, data: server.data, id: server.id, peers: [other.url] });
  await eventually(async () => await (await again.fetch("/while-down")).text() === "x", { what: "/while-down" });
  assertEquals((await drained(again.fetch("/first.txt"))).headers.get("metacdn-version"), version);
  assertEquals(await (await again.fetch("/up")).text(), "up");
});
