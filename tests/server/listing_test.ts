import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { protobufCodec, wire } from "../../proto/mod.ts";
import { memoryStore } from "../../server/store/mod.ts";
import { drained, startTestServer, type TestServer } from "../kit/mod.ts";

async function fill(server: TestServer, paths: string[]) {
  for (const path of paths) {
    assertEquals((await drained(server.fetch(path, { method: "PUT", body: new Uint8Array(1500) }))).status, 201);
  }
}

Deno.test("a listing is sorted, in pages, and without what was deleted", async () => {
  await using server = await startTestServer();
  await fill(server, ["/b/2", "/a", "/b/1", "/c", "/b/3", "/gone"]);
  await drained(server.fetch("/gone", { method: "DELETE" }));
  const pages: string[][] = [];
  let after = "";
  do {
    const query = new URLSearchParams({ limit: "2", after });
    const page = await (await server.fetch(`/-/v1/objects?${query}`)).json();
    pages.push(page.objects.map(({ path }: { path: string }) => path));
    after = page.next;
  } while (after);
  assertEquals(pages, [["/a", "/b/1"], ["/b/2", "/b/3"], ["/c"]]);
  const below = await (await server.fetch("/-/v1/objects?prefix=/b/")).json();
  assertEquals(below.objects.map(({ path }: { path: string }) => path), ["/b/1", "/b/2", "/b/3"]);
  assertEquals(below.next, "");
  for (const limit of ["0", "1001", "-1", "x", "1.5", ""]) {
    const response = await server.fetch(`/-/v1/objects?limit=${limit}`);
    assertEquals(response.status, 400, limit);
    await response.body?.cancel();
  }
});

Deno.test("GET / is a page for browsers, and a message for programs", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await fill(server, ["/x.jpg"]);
  const ask = async (accept: string, method = "GET") => {
    const response = await server.fetch("/", { method, headers: { accept } });
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("vary"), "accept");
    return { type: response.headers.get("content-type"), body: await response.bytes() };
  };
  const browser = await ask("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8");
  assertEquals(browser.type, "text/html; charset=utf-8");
  for (const accept of ["*/*", "application/json", "text/plain"]) {
    const { type, body } = await ask(accept);
    assertEquals(type, "application/json", accept);
    assertEquals(JSON.parse(new TextDecoder().decode(body)).objects[0].path, "/x.jpg");
  }
  const binary = await ask("application/protobuf");
  assertEquals(protobufCodec.decode(wire.ObjectListSchema, binary.body).objects[0]!.size, 1500n);
  const head = await ask("text/html", "HEAD");
  assertEquals([head.type, head.body.length], ["text/html; charset=utf-8", 0]);
});

Deno.test("no name of an object becomes markup", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await fill(server, ["/%3Cscript%3Ealert(1)%3C%2Fscript%3E".replace("%2F", "-"), "/a%22b'c&d.txt", "/e%23f%3Fg.txt"]);
  const query = new URLSearchParams({ prefix: '/"><script>x' });
  for (const target of ["/", `/?${query}`]) {
    const response = await server.fetch(target, { headers: { accept: "text/html" } });
    assertStringIncludes(response.headers.get("content-security-policy")!, "default-src 'none'");
    const page = await response.text();
    assert(!page.includes("<script"), page);
  }
  const page = await (await server.fetch("/", { headers: { accept: "text/html" } })).text();
  assertStringIncludes(page, "&lt;script&gt;alert(1)&lt;-script&gt;");
  assertStringIncludes(page, "1.46 KiB");
  for (const [, href] of page.matchAll(/<td><a href="([^"]+)"/g)) {
    const target = href!.replaceAll("&amp;", "&").replaceAll("&#39;", "'");
    assertEquals((await drained(server.fetch(target, { method: "HEAD" }))).status, 200, target);
  }
});

Deno.test("pages of the page link to each other", async () => {
  await using server = await startTestServer({ store: memoryStore() });
  await fill(server, ["/p/1", "/p/2", "/p/3", "/q"]);
  const seen: string[] = [];
  let target: string | undefined = "/?prefix=/p/&limit=1";
  while (target) {
    const page: string = await (await server.fetch(target, { headers: { accept: "text/html" } })).text();
    seen.push(...[...page.matchAll(/<td><a href="([^"]+)"/g)].map((match) => match[1]!));
    target = /href="([^"]+)" rel="next"/.exec(page)?.[1]?.replaceAll("&amp;", "&");
  }
  assertEquals(seen, ["/p/1", "/p/2", "/p/3"]);
});

Deno.test("a page of objects with much metadata is shorter than its limit, and the next ones have the rest", async () => {
  const store = memoryStore();
  const { sha256, size } = await store.stage((async function* () {})());
  const meta = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`key-${at}`, "x".repeat(1024)]));
  const paths = Array.from({ length: 250 }, (_, at) => `/${String(at).padStart(3, "0")}`);
  for (const path of paths) {
    const version = { wallMs: 1, counter: 0, server: "a" };
    await store.put({ path, version, deleted: false, sha256, size, mediaType: "", name: "", modifiedMs: 0, meta });
  }
  await using server = await startTestServer({ store });
  const seen: string[] = [];
  let after = "";
  do {
    const response = await server.fetch(`/-/v1/objects?${new URLSearchParams({ limit: "1000", after })}`);
    const text = await response.text();
    assert(text.length < 8 << 20, `a page of ${text.length} bytes`);
    const page = JSON.parse(text);
    seen.push(...page.objects.map(({ path }: { path: string }) => path));
    after = page.next;
  } while (after);
  assertEquals(seen, paths);
});
