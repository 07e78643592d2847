import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { join } from "@std/path";
import { CdnError, codecForAnswer, codecForBody, codecOf, wire } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { upload, type UploadOptions, type UploadProgress } from "../../upload/mod.ts";
import { tempDir } from "../kit/mod.ts";
import { problem, startCutter, startGate } from "./gate.ts";

const KIB = 1024;
const quick = { baseMs: 2, mostMs: 20 };

/** Bytes that compress to nothing and repeat nowhere. */
function noise(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65_536)));
  return bytes;
}

function streamOf(...parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(parts);
}

async function stored(server: string, path: string): Promise<{ sha256: string; size: number; response: Response }> {
  const response = await fetch(server + path);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { sha256: sha256(bytes), size: bytes.length, response };
}

function failure(act: () => Promise<unknown>): Promise<CdnError> {
  return assertRejects(act, CdnError);
}

for (const encoding of ["json", "protobuf"] as const) {
  const codec = codecOf(encoding);

  Deno.test(`${encoding}: a file arrives bit for bit, in chunks, with its metadata`, async () => {
    await using gate = await startGate();
    await using dir = await tempDir();
    const bytes = noise(100 * KIB + 7);
    const file = join(dir.path, "photo.jpg");
    await Deno.writeFile(file, bytes);
    await Deno.utime(file, 1_700_000_000, 1_700_000_000);
    const seen: UploadProgress[] = [];
    const result = await upload({ file }, {
      server: gate.url,
      path: "/a b/photo.jpg",
      name: "photo.jpg",
      meta: { who: "me" },
      codec,
      chunkSize: 16 * KIB,
      onProgress: (progress) => seen.push(progress),
    });
    assertEquals(result.sha256, sha256(bytes));
    assertEquals([result.size, result.state, result.copies, result.resumed], [bytes.length, "sent", 1, 0]);
    assertEquals(result.url, `${gate.url}/a%20b/photo.jpg`);
    assertEquals(result.object.meta, { who: "me" });
    assertEquals(result.object.modifiedMs, 1_700_000_000_000);
    assertEquals(result.object.mediaType, "image/jpeg");
    const { sha256: got, response } = await stored(gate.url, "/a%20b/photo.jpg");
    assertEquals(got, sha256(bytes));
    assertEquals(response.headers.get("content-type"), "image/jpeg");
    assertEquals(gate.calls.filter((call) => call.startsWith("PUT chunk")).length, 7);
    assertEquals([...new Set(seen.map(({ phase }) => phase))], ["hashing", "sending", "committing"]);
    assertEquals(seen.at(-1)!.bytes, bytes.length);
  });

  Deno.test(`${encoding}: a stream of unknown length arrives, hashed on the fly`, async () => {
    await using gate = await startGate();
    const parts = [noise(5), noise(40 * KIB), new Uint8Array(), noise(3)];
    const whole = new Uint8Array(await new Blob(parts).arrayBuffer());
    const result = await upload(streamOf(...parts), { server: gate.url, path: "/s", codec, chunkSize: 16 * KIB });
    assertEquals([result.size, result.sha256], [whole.length, sha256(whole)]);
    assertEquals((await stored(gate.url, "/s")).sha256, sha256(whole));
    assertEquals(gate.calls, ["POST create", "PUT chunk 0", "PUT chunk 16384", "PUT chunk 32768", "POST commit"]);
  });

  Deno.test(`${encoding}: an empty file and an empty stream are objects too`, async () => {
    await using gate = await startGate();
    const options = { server: gate.url, codec };
    assertEquals((await upload(new Uint8Array(), { ...options, path: "/e1" })).size, 0);
    assertEquals((await upload(streamOf(), { ...options, path: "/e2" })).size, 0);
    assertEquals((await stored(gate.url, "/e2")).size, 0);
  });

  Deno.test(`${encoding}: an upload that was broken off goes on where it stopped`, async () => {
    const bytes = noise(64 * KIB);
    let broken = true;
    await using gate = await startGate(({ what }) =>
      broken && what === "PUT chunk 32768" ? problem(400, "it ends here") : null
    );
    const options: UploadOptions = { server: gate.url, path: "/r", codec, chunkSize: 8 * KIB, concurrency: 1 };
    await failure(() => upload(bytes, options));
    broken = false;
    const again = await upload(bytes, options);
    assertEquals([again.resumed, again.state], [32 * KIB, "sent"]);
    assertEquals((await stored(gate.url, "/r")).sha256, sha256(bytes));
  });
}

Deno.test("what the server has already is not sent again", async () => {
  await using gate = await startGate();
  const bytes = noise(10 * KIB);
  await upload(bytes, { server: gate.url, path: "/one" });
  const chunks = () => gate.calls.filter((call) => call.startsWith("PUT")).length;
  const sent = chunks();
  const second = await upload(bytes, { server: gate.url, path: "/two" });
  assertEquals([second.state, chunks()], ["present", sent]);
  assertEquals((await stored(gate.url, "/two")).sha256, sha256(bytes));
  await upload(noise(5), { server: gate.url, path: "/one" });
  assertEquals((await upload(bytes, { server: gate.url, path: "/one" })).state, "present");
  assertEquals((await stored(gate.url, "/one")).sha256, sha256(bytes), "the newest upload is what is there");
});

Deno.test("503, 429, 408 and 500 are tried again, each kind of call, and Retry-After is heeded", async () => {
  const statuses = [503, 429, 408, 500, 502];
  await using gate = await startGate(({ nth }) =>
    nth <= 2 ? problem(statuses[nth]!, "not now", { "retry-after": "0" }) : null
  );
  const bytes = noise(20 * KIB);
  const told: number[] = [];
  const result = await upload(bytes, {
    server: gate.url,
    path: "/a",
    chunkSize: 8 * KIB,
    retry: { ...quick, onRetry: (error) => told.push(error.status) },
  });
  assertEquals(result.sha256, sha256(bytes));
  assertEquals(told.length, 10); // two for each of create, three chunks, commit
  assertEquals((await stored(gate.url, "/a")).sha256, sha256(bytes));
});

Deno.test("a server that stays away is given up with the number of tries", async () => {
  await using gate = await startGate(() => problem(503, "the disk is being changed"));
  const error = await failure(() =>
    upload(noise(5), { server: gate.url, path: "/a", retry: { ...quick, attempts: 3 } })
  );
  assertStringIncludes(error.message, "the disk is being changed (gave up after 3 tries)");
  assertEquals(gate.calls.length, 3);
});

Deno.test("413, 401, 403 and 507-without-retry words come through, and are not tried again", async () => {
  for (const status of [413, 401, 403, 400]) {
    await using gate = await startGate(() => problem(status, `because of ${status}`));
    const error = await failure(() => upload(noise(5), { server: gate.url, path: "/a", retry: quick }));
    assertEquals([error.status, gate.calls.length], [status, 1]);
    assertStringIncludes(error.message, `because of ${status}`);
  }
});

Deno.test("a chunk that is refused ends all lanes, and the error is that chunk's", async () => {
  await using gate = await startGate(({ what }) => what === "PUT chunk 8192" ? problem(413, "too large for me") : null);
  const error = await failure(() =>
    upload(noise(400 * KIB), { server: gate.url, path: "/a", chunkSize: 4 * KIB, retry: quick })
  );
  assertStringIncludes(error.message, "too large for me");
  assert(gate.calls.length < 50, "the rest was not sent");
});

Deno.test("a proxy, or another program, is told from a content server", async () => {
  for (const status of [404, 405]) {
    await using gate = await startGate(() => problem(status, "there is nothing here"));
    const error = await failure(() => upload(noise(5), { server: gate.url, path: "/a", retry: quick }));
    assertStringIncludes(error.message, "takes no uploads: it is a proxy");
  }
});

Deno.test("a session that the server forgot is begun anew", async () => {
  let forgotten = 0;
  await using gate = await startGate(({ what }) =>
    what === "PUT chunk 8192" && forgotten++ < 1 ? problem(404, "no such upload") : null
  );
  const bytes = noise(30 * KIB);
  const result = await upload(bytes, { server: gate.url, path: "/a", chunkSize: 4 * KIB, retry: quick });
  assertEquals(result.state, "sent");
  assertEquals(gate.calls.filter((call) => call === "POST create").length, 2);
  assertEquals((await stored(gate.url, "/a")).sha256, sha256(bytes));
  await using never = await startGate(({ what }) => what.startsWith("PUT") ? problem(404, "no such upload") : null);
  assertEquals((await failure(() => upload(bytes, { server: never.url, path: "/a", retry: quick }))).status, 404);
});

Deno.test("connections that are cut in the middle of a chunk are made again", async () => {
  await using gate = await startGate();
  await using cutter = startCutter(gate.server.port, [10 * KIB, 70 * KIB, 100 * KIB, 1, 30 * KIB]);
  const bytes = noise(300 * KIB);
  const options = { chunkSize: 64 * KIB, retry: quick, codec: codecOf("protobuf") };
  const result = await upload(bytes, { server: cutter.url, path: "/cut", ...options });
  assertEquals(result.sha256, sha256(bytes));
  assert(cutter.cuts >= 3, `${cutter.cuts} cuts`);
  assertEquals((await stored(gate.server.url, "/cut")).sha256, sha256(bytes));
});

Deno.test("a file that grows, shrinks or changes while it is sent is a clear error, and is not stored", async () => {
  const changes: [string, (file: string) => Promise<void>][] = [
    ["grows", (file) => Deno.writeFile(file, noise(10), { append: true })],
    ["shrinks", (file) => Deno.truncate(file, 5)],
    ["changes", (file) => Deno.writeFile(file, noise(100 * KIB)).then(() => Deno.utime(file, 1, 1))],
  ];
  for (const [name, change] of changes) {
    await using dir = await tempDir();
    const file = join(dir.path, "f");
    await Deno.writeFile(file, noise(100 * KIB));
    let changed = false;
    await using gate = await startGate(async ({ what }) => {
      if (what.startsWith("PUT chunk") && !changed) {
        changed = true;
        await change(file);
      }
      return null;
    });
    const error = await failure(() =>
      upload({ file }, { server: gate.url, path: "/f", chunkSize: 8 * KIB, concurrency: 1, retry: quick })
    );
    assertStringIncludes(error.message, "changed while it was being sent", name);
    assertEquals((await stored(gate.url, "/f")).response.status, 404);
  }
});

Deno.test("a server that stored something else is found out", async () => {
  const bytes = noise(10);
  const lies: [Record<string, unknown>, string][] = [
    [{ sha256: "0".repeat(64) }, "something else"],
    [{ size: 11n }, "something else"],
    [{ path: "/other" }, "something else"],
  ];
  for (const [lie, words] of lies) {
    await using gate = await startGate(async ({ what, request }) => {
      if (what !== "POST commit") return null;
      codecForBody(request.headers.get("content-type"));
      await request.arrayBuffer();
      const version = { wallMs: 1n, counter: 0, server: "s" };
      const object = { path: "/a", sha256: sha256(bytes), size: 10n, version, ...lie };
      const answer = create(wire.UploadSchema, { state: wire.Upload_State.COMMITTED, copies: 1, object });
      const codec = codecForAnswer(request.headers.get("accept"));
      return new Response(codec.encode(wire.UploadSchema, answer), { headers: { "content-type": codec.mediaType } });
    });
    assertStringIncludes(
      (await failure(() => upload(bytes, { server: gate.url, path: "/a", retry: quick }))).message,
      words,
    );
  }
});

Deno.test("what cannot be read is a clear error, and bad options are refused before anything is sent", async () => {
  await using gate = await startGate();
  await using dir = await tempDir();
  const server = gate.url;
  assertStringIncludes(
    (await failure(() => upload({ file: join(dir.path, "none") }, { server, path: "/a" }))).message,
    "no such file",
  );
  assertStringIncludes((await failure(() => upload({ file: dir.path }, { server, path: "/a" }))).message, "not a file");
  assertStringIncludes((await failure(() => upload(noise(1), { server, path: "/../a" }))).message, "..");
  await assertRejects(() => upload(noise(1), { server, path: "/a", concurrency: 0 }), RangeError);
  await assertRejects(() => upload(noise(1), { server, path: "/a", chunkSize: 0.5 }), RangeError);
  assertEquals(gate.calls, []);
});

Deno.test("an abort ends an upload, and lets a stream go", async () => {
  const stop = new AbortController();
  await using gate = await startGate(({ what }) => {
    if (what === "PUT chunk 4096") stop.abort(new Error("enough"));
    return null;
  });
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(noise(KIB)),
    cancel() {
      cancelled = true;
    },
  });
  const options = { server: gate.url, chunkSize: 4 * KIB, signal: stop.signal, retry: quick };
  await assertRejects(() => upload(endless, { ...options, path: "/a" }), Error);
  assert(cancelled);
  await assertRejects(() => upload(noise(64 * KIB), { ...options, path: "/a" }), Error);
});

Deno.test("a token is sent, and without it the server's words come through", async () => {
  const token = "a-token-of-some-length";
  await using gate = await startGate(() => null, { secrets: { token, clusterKey: null } });
  assertEquals((await failure(() => upload(noise(5), { server: gate.url, path: "/a" }))).status, 401);
  assertEquals((await upload(noise(5), { server: gate.url, path: "/a", token })).size, 5);
});
