import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import fc from "fast-check";
import { CdnError } from "../../proto/mod.ts";
import { silentLogger } from "../../runtime/log.ts";
import { Nonces, openNonces } from "../../runtime/nonces.ts";
import { randomNonce, REPLAY_WINDOW_MS, SignatureVerifier, signRequest } from "../../runtime/signature.ts";
import { tempDir } from "../kit/mod.ts";

const now = 1_700_000_000_000;
const life = 2 * REPLAY_WINDOW_MS;
const name = (i: number) => `nonce-${String(i).padStart(6, "0")}`;

function take(nonces: Nonces, nonce: string, nowMs: number): void {
  assert(!nonces.has(nonce, nowMs), nonce);
  nonces.take(nonce, { nowMs, untilMs: nowMs + life });
}

function lines(path: string): string[] {
  try {
    return Deno.readTextFileSync(path).split("\n").filter((line) => line !== "");
  } catch {
    return [];
  }
}

Deno.test("a recorded request is refused after a restart too", async () => {
  await using dir = await tempDir();
  const key = new TextEncoder().encode("a key between servers");
  const url = "http://node-a:8080/-/v1/peer/offers";
  const fields = signRequest({ method: "GET", url }, { key, nowMs: now, nonce: randomNonce() });
  const recorded = { method: "GET", url, headers: new Headers(fields) };
  for (const [start, taken] of [[now, true], [now + 1000, false], [now + 2000, false]] as const) {
    using nonces = openNonces(dir.path, { nowMs: start });
    const verifier = new SignatureVerifier(key, { nonces });
    if (taken) verifier.verify(recorded, start);
    assertThrows(() => verifier.verify(recorded, start), CdnError, "played already");
  }
  const forgetful = new SignatureVerifier(key);
  forgetful.verify(recorded, now + 3000); // else this test would prove nothing
});

Deno.test("a nonce is remembered for its time over any number of restarts, and the files hold two lifetimes at most", async () => {
  await using dir = await tempDir();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ wait: fc.integer({ min: 0, max: life }), restart: fc.boolean() }), {
        minLength: 1,
        maxLength: 40,
      }),
      // deno-lint-ignore require-await
      async (steps) => {
        const folder = Deno.makeTempDirSync({ dir: dir.path });
        let at = now;
        let nonces = openNonces(folder, { nowMs: at });
        const taken: { nonce: string; at: number }[] = [];
        try {
          for (const { wait, restart } of steps) {
            at += wait;
            if (restart) {
              nonces[Symbol.dispose]();
              nonces = openNonces(folder, { nowMs: at });
            }
            const nonce = name(taken.length);
            take(nonces, nonce, at);
            taken.push({ nonce, at });
            for (const one of taken) {
              if (at <= one.at + life) assert(nonces.has(one.nonce, at), `${one.nonce} at ${at}`);
            }
            const kept = ["nonces", "nonces.old"].map((file) => lines(join(folder, file)));
            for (const file of kept) {
              const times = file.map((line) => Number(line.split(" ")[0]));
              if (times.length > 0) assert(Math.max(...times) - Math.min(...times) <= life);
            }
          }
        } finally {
          nonces[Symbol.dispose]();
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("garbage lines are passed over, and a line that broke off spoils no other", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "nonces");
  const good = `${now + life} good-nonce-1`;
  await Deno.writeFile(
    file,
    new TextEncoder().encode(
      [
        "",
        "x",
        "12 short",
        `${now + life}`,
        `${now + life} with blank in it`,
        `-5 nonce-nonce`,
        `NaN nonce-nonce`,
        `${now + life} ${"n".repeat(65)}`,
        `999999999999999 far-in-the-future`,
        `${now - 1} long-gone-1`,
        "\u0000\ufffd".repeat(50),
        "y".repeat(100_000),
        good,
        `${now + life} brok`,
      ].join("\n"),
    ),
  );
  {
    using nonces = openNonces(dir.path, { nowMs: now });
    assertEquals(nonces.size, 1);
    assert(nonces.has("good-nonce-1", now));
    take(nonces, "after-the-torn", now);
  }
  using nonces = openNonces(dir.path, { nowMs: now });
  assert(nonces.has("good-nonce-1", now) && nonces.has("after-the-torn", now));
  assertEquals(nonces.size, 2);
});

Deno.test("bytes that are no UTF-8 are garbage like any other", async () => {
  await using dir = await tempDir();
  await Deno.writeFile(join(dir.path, "nonces"), new Uint8Array([255, 254, 10, 0, 200, 10]));
  using nonces = openNonces(dir.path, { nowMs: now });
  assertEquals(nonces.size, 0);
  take(nonces, name(1), now);
});

Deno.test("a folder that is none is a clear error; one that is missing is made", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(join(dir.path, "file"), "");
  const error = assertThrows(() => openNonces(join(dir.path, "file"), { nowMs: now }), CdnError, "Cannot open");
  assertEquals(error.source, "client");
  using nonces = openNonces(join(dir.path, "a", "b"), { nowMs: now });
  take(nonces, name(1), now);
});

Deno.test("a file that cannot be written is told once, and the nonce is remembered all the same", async () => {
  await using dir = await tempDir();
  const said: string[] = [];
  const log = { ...silentLogger, warn: (message: string) => void said.push(message) };
  using nonces = openNonces(dir.path, { nowMs: now, log });
  take(nonces, name(1), now);
  // Turning the file over fails where a folder stands in its way.
  await Deno.mkdir(join(dir.path, "nonces.old", "x"), { recursive: true });
  const later = now + life + 1;
  take(nonces, name(2), later);
  take(nonces, name(3), later);
  assertEquals(said.length, 1);
  assert(nonces.has(name(2), later) && nonces.has(name(3), later));
  await Deno.remove(join(dir.path, "nonces.old"), { recursive: true });
  take(nonces, name(4), later);
  assert(lines(join(dir.path, "nonces")).some((line) => line.endsWith(name(4))), "it is written again once it can be");
});

Deno.test("a full table refuses, from the file too", async () => {
  await using dir = await tempDir();
  {
    using nonces = openNonces(dir.path, { nowMs: now, most: 3 });
    for (let i = 0; i < 3; i++) take(nonces, name(i), now);
    assertThrows(() => take(nonces, name(3), now), CdnError, "Cannot take more");
  }
  using nonces = openNonces(dir.path, { nowMs: now, most: 3 });
  assertEquals(assertThrows(() => take(nonces, name(3), now), CdnError).status, 503);
  take(nonces, name(3), now + life + 1);
});
