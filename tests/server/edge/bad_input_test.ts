/** What viewers and origins must not be able to do to an edge, through its real doors. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { FakeServer, latin1, until } from "../../kit/fake_server.ts";
import { rawRequest } from "../../kit/raw_request.ts";
import { noSmallDisk, onSmallDisk } from "../../kit/small_disk.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import type { TestServer } from "../../kit/test_server.ts";
import { filesBelow } from "./cache/kit.ts";
import { asText, pattern } from "./kit.ts";
import { startEdge } from "./start_edge.ts";

/** An origin that keeps the heads it gets, and answers each with the same bytes. */
class Recording implements AsyncDisposable {
  readonly heads: string[] = [];
  readonly server: FakeServer;

  constructor(answer: (head: string, number: number) => string | Uint8Array) {
    this.server = new FakeServer(async (peer) => {
      for (let head = await peer.head(); head !== null; head = await peer.head()) {
        this.heads.push(head);
        await peer.send(answer(head, this.heads.length));
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

const OK = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok";

for (const front of [true, false]) {
  const door = front ? "by the front" : "by Deno.serve";

  Deno.test(`no request hides in another, ${door}`, async (t) => {
    const forms: Record<string, string> = {
      "two lengths": "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n",
      "a length and a coding":
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "a coding that is none":
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n",
      "a space before the colon": "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length : 40\r\n\r\n",
      "a folded line": "GET /a HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 40\r\n\r\n",
      "a length on GET": "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n",
    };
    const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\nX-Pad: aaaaaaaaaaaaaaaaaaaa\r\n\r\n";
    for (const [name, form] of Object.entries(forms)) {
      await t.step(name, async () => {
        await using origin = new Recording(() => OK);
        await using edge = await startEdge(origin.server.url, { front });
        await rawRequest(edge.port, form + hidden, { end: true });
        // Either the edge took it for a request of its own, as the viewer's next, or refused both: the origin never
        // gets one inside another's body.
        for (const head of origin.heads) {
          assert(!head.includes("hidden") || head.startsWith("GET /hidden HTTP/1.1\r\n"), head);
          assert((head.match(/content-length|transfer-encoding/gi)?.length ?? 0) <= 1, head);
        }
      });
    }
  });

  Deno.test(`nobody poisons what others get by Host or a field that nothing is keyed by, ${door}`, async () => {
    await using origin = new Recording((head) => {
      const seen = head.match(/^(host|forwarded|x-forwarded-\w+|x-original-url|x-rewrite-url): .*$/gim)?.join("|") ??
        "";
      return `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: ${seen.length}\r\n\r\n${seen}`;
    });
    await using edge = await startEdge(origin.server.url, { front });
    const evil = "Host: evil.test\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Scheme: evil\r\n" +
      "X-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nForwarded: host=evil.test";
    const first = await rawRequest(edge.port, `GET /a HTTP/1.1\r\n${evil}\r\n\r\n`);
    assertEquals([first.status, first.body.includes("evil")], [200, false]);
    assertStringIncludes(first.body.toLowerCase(), `host: ${new URL(origin.server.url).host}`);
    const absolute = await rawRequest(edge.port, "GET http://evil.test/b HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assertEquals([absolute.status, absolute.body.includes("evil")], [200, false]);
    assert(origin.heads.every((head) => /^GET \/[ab] HTTP\/1.1\r\n/.test(head)), origin.heads.join());
  });

  Deno.test(`a redirect is an answer and is not followed, wherever it leads, ${door}`, async () => {
    await using trap = new Recording(() => OK);
    for (const to of [`${trap.server.url}/secret`, "http://169.254.169.254/latest/meta-data/"]) {
      await using origin = new Recording(() => `HTTP/1.1 302 Found\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`);
      await using edge = await startEdge(origin.server.url, { front });
      const answer = await rawRequest(edge.port, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
      assertEquals([answer.status, answer.headers["location"]], [302, to]);
    }
    assertEquals(trap.heads, []);
  });

  Deno.test(`an origin whose length is a lie: an error or so many bytes, and never somebody else's, ${door}`, async () => {
    await using short = new FakeServer(async (peer) => {
      await peer.head();
      await peer.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nshort");
    });
    await using first = await startEdge(short.url, { front });
    await assertRejects(async () => await (await first.fetch("/a")).text());
    await using long = new Recording((_, number) =>
      `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\n${number}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`
    );
    await using second = await startEdge(long.server.url, { front });
    for (const [path, body] of [["/a", "1"], ["/b", "2"], ["/c", "3"], ["/a", "1"]]) {
      assertEquals(await (await second.fetch(path!)).text(), body);
    }
  });
}

Deno.test("a viewer who leaves in the middle of what is passed on leaves no request to the origin behind", async () => {
  await using origin = new FakeServer(async (peer) => {
    await peer.head();
    await peer.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 100\r\n\r\nbegun");
    await peer.rest(() => false);
  });
  await using edge = await startEdge(origin.url);
  const viewer = await Deno.connect({ hostname: "127.0.0.1", port: edge.port });
  await viewer.write(new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
  let seen = "";
  const buffer = new Uint8Array(4096);
  while (!seen.includes("begun")) seen += latin1(buffer.subarray(0, (await viewer.read(buffer))!));
  viewer.close();
  await until(() => origin.open === 0, "the origin's connection to be closed");
});

Deno.test("Vary on what everybody may choose: what is stored of one key stays bounded", async () => {
  await using origin = new Recording(() =>
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: X-Anything\r\nContent-Length: 2\r\n\r\nok"
  );
  await using edge = await startEdge(origin.server.url);
  for (let at = 0; at < 200; at++) {
    const answer = await rawRequest(edge.port, `GET /a HTTP/1.1\r\nHost: x\r\nX-Anything: ${at}\r\n\r\n`);
    assertEquals(answer.body, "ok");
  }
  const newest = await rawRequest(edge.port, "GET /a HTTP/1.1\r\nHost: x\r\nX-Anything: 199\r\n\r\n");
  assertStringIncludes(newest.headers["cache-status"]!, "hit");
  const oldest = await rawRequest(edge.port, "GET /a HTTP/1.1\r\nHost: x\r\nX-Anything: 0\r\n\r\n");
  assertStringIncludes(oldest.headers["cache-status"]!, "fwd=vary-miss");
});

Deno.test("a thousand ranges in one request are answered by the whole, and ask the origin once", async () => {
  const content = pattern(100_000);
  await using origin = new Recording(() => {
    const head =
      `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "1"\r\nContent-Length: ${content.length}\r\n\r\n`;
    return Uint8Array.from([...head].map((c) => c.charCodeAt(0)).concat([...content]));
  });
  await using edge = await startEdge(origin.server.url);
  const ranges = Array.from({ length: 1000 }, (_, at) => `${at * 100}-${at * 100}`).join();
  const answer = await edge.fetch("/a", { headers: { range: `bytes=${ranges}` } });
  assertEquals(answer.status, 200);
  assert(await isWhole(answer, content));
  assertEquals(origin.heads.length, 1);
});

Deno.test({
  name: "a cache on a disk that is full: viewers get what the origin has, and other disks keep what they keep",
  ignore: noSmallDisk !== null,
  async fn() {
    const content = pattern(3_000_000);
    await using origin = new Recording(() => {
      const head =
        `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "1"\r\nContent-Length: ${content.length}\r\n\r\n`;
      const bytes = new Uint8Array(head.length + content.length);
      bytes.set(new TextEncoder().encode(head));
      bytes.set(content, head.length);
      return bytes;
    });
    await onSmallDisk("2m", async (folder) => {
      await using edge = await startEdge(origin.server.url, { folder });
      for (const path of ["/a", "/b", "/a"]) {
        const answer = await edge.fetch(path);
        assertEquals(answer.status, 200);
        assert(await isWhole(answer, content));
      }
    });
  },
});

Deno.test("a folder of the cache that was damaged by hand costs requests to the origin, and no wrong byte", async () => {
  const content = pattern(3_000_000);
  await using folder = await tempDir();
  await using origin = new Recording((head) => {
    const range = /^range: bytes=(\d+)-(\d*)\r$/im.exec(head);
    const [start, end] = range
      ? [Number(range[1]), range[2] ? Math.min(Number(range[2]) + 1, content.length) : content.length]
      : [0, content.length];
    const lines = range
      ? `206 Partial Content\r\nContent-Range: bytes ${start}-${end - 1}/${content.length}`
      : "200 OK";
    const text = `HTTP/1.1 ${lines}\r\nCache-Control: max-age=600\r\nETag: "1"\r\nContent-Length: ${
      end - start
    }\r\n\r\n`;
    const bytes = new Uint8Array(text.length + end - start);
    bytes.set(new TextEncoder().encode(text));
    bytes.set(content.subarray(start, end), text.length);
    return bytes;
  });
  const whole = async (edge: TestServer) => await isWhole(await edge.fetch("/a"), content);
  {
    await using edge = await startEdge(origin.server.url, { folder: folder.path });
    assert(await whole(edge));
    assert(await whole(edge));
    assertEquals(origin.heads.length, 1);
  }
  let damaged = 0;
  for (const file of filesBelow(join(folder.path, "cache"))) {
    const { size } = await Deno.stat(file);
    if (file.includes("sqlite") || size < 100_000) continue;
    using open = await Deno.open(file, { read: true, write: true });
    await open.seek(size >> 1, Deno.SeekMode.Start);
    await open.write(new Uint8Array(100).fill(damaged++));
  }
  assert(damaged > 0, "there was something to damage");
  await using edge = await startEdge(origin.server.url, { folder: folder.path });
  assert(await whole(edge), "what is damaged is asked for anew");
  assert(origin.heads.length > 1);
  assert(await whole(edge));
});

/** True where an answer's body is this to the byte. */
async function isWhole(answer: Response, content: Uint8Array): Promise<boolean> {
  return latin1(new Uint8Array(await answer.arrayBuffer())) === asText(content);
}
