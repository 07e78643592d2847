import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { badRequest, CdnError } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { formatAddress, listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { readSecrets, readToken } from "../../runtime/secrets.ts";

const quiet = { log: silentLogger, token: null };
const here = { hostname: "127.0.0.1", port: 0 };

Deno.test("an address that others reach needs a token", () => {
  for (const hostname of ["0.0.0.0", "::", "10.0.0.1", "example.com"]) {
    const error = assertThrows(() => listen({ hostname, port: 0 }, () => new Response(), quiet), CdnError);
    assertStringIncludes(error.message, "METACDN_TOKEN");
  }
});

Deno.test("with a token it listens where it is told, and says its URL", async () => {
  const server = listen({ hostname: "0.0.0.0", port: 0 }, () => new Response("hi"), {
    log: silentLogger,
    token: "a-token-of-some-length",
  });
  try {
    assertMatch(server.url, /^http:\/\/0\.0\.0\.0:\d+$/);
    assertEquals(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), "hi");
  } finally {
    await server.close();
  }
});

Deno.test("what a handler throws is answered, at once or later, and the next request is served", async () => {
  const server = listen(here, (request) => {
    switch (new URL(request.url).pathname) {
      case "/at-once":
        throw badRequest("Cannot: no");
      case "/later":
        return Promise.reject(new CdnError("Cannot: gone", { source: "peer", retry: true }));
      case "/bug":
        throw new TypeError("a bug");
      default:
        return new Response("ok");
    }
  }, quiet);
  try {
    for (const [path, status] of [["/at-once", 400], ["/later", 502], ["/bug", 500]] as const) {
      const answer = await fetch(server.url + path);
      assertEquals(answer.status, status);
      assertEquals((await answer.json()).status, status);
    }
    assertEquals(await (await fetch(server.url)).text(), "ok");
  } finally {
    await server.close();
  }
});

Deno.test("an address in use is an error of one line", async () => {
  const first = listen(here, () => new Response(), quiet);
  try {
    const error = assertThrows(() => listen({ ...here, port: first.port }, () => new Response(), quiet), CdnError);
    assertStringIncludes(error.message, "the address is in use");
    assert(!error.message.includes("\n"));
  } finally {
    await first.close();
  }
});

Deno.test("closing answers what is under way, and does not wait for ever", async () => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const server = listen(here, async () => {
    entered.resolve();
    await gate.promise;
    return new Response("done");
  }, quiet);
  const asked = fetch(server.url);
  await entered.promise;
  const closing = server.close(60_000);
  gate.resolve();
  assertEquals(await (await asked).text(), "done");
  await closing;

  let end = () => {};
  const endless = new ReadableStream({ start: (controller) => end = () => controller.close() });
  const slow = listen(here, () => new Response(endless), quiet);
  const answer = await fetch(slow.url);
  await slow.close(10); // resolves although the body has not ended
  end();
  assertEquals(await answer.text(), "");
  await slow.close();
});

Deno.test("an IPv6 address stands in brackets", () => {
  assertEquals(formatAddress({ hostname: "::1", port: 5 }), "[::1]:5");
});

Deno.test("secrets come from files, else from the environment", () => {
  const input = {
    env: (name: string) => ({ METACDN_TOKEN: " token-from-environment\n", METACDN_CLUSTER_KEY: "" })[name],
    readTextFile: (path: string) => {
      if (path === "t") return "token-from-a-file\n";
      if (path === "short") return "short";
      if (path === "empty") return "\n";
      if (path === "odd") return "a token with spaces";
      throw new Deno.errors.NotFound("no such file");
    },
  };
  const read = (token: string | null, key: string | null = null) =>
    readSecrets({ "token-file": token, "cluster-key-file": key }, input);
  assertEquals(read(null), { token: "token-from-environment", clusterKey: null });
  assertEquals(read("t", "t"), {
    token: "token-from-a-file",
    clusterKey: new TextEncoder().encode("token-from-a-file"),
  });
  for (
    const [file, words] of [["short", "at least 16"], ["empty", "is empty"], ["none", "cannot read none"], [
      "odd",
      "ASCII",
    ]] as const
  ) assertStringIncludes(assertThrows(() => read(file), UsageError).message, words);
  assertThrows(() => read(null, "short"), UsageError, "--cluster-key-file");
  const asked: string[] = [];
  const token = readToken(null, { ...input, env: (name) => (asked.push(name), input.env(name)) });
  assertEquals([token, asked], ["token-from-environment", ["METACDN_TOKEN"]], "nothing but the token is read");
  assertThrows(() => readToken("odd", input), UsageError, "ASCII");
});
