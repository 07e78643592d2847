/** TCP_NODELAY on what a listening socket accepts, and answers where it cannot be set. */
import { assertEquals, assertRejects } from "@std/assert";
import { formatAddress, listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { setNoDelay, withoutStall } from "../../runtime/nodelay.ts";
import { newCa, newServer } from "../certs/kit.ts";

const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];

/** TCP_NODELAY of every socket here whose own port is `port` and that is connected. */
function noDelaysOf(port: number): number[] {
  const libc = Deno.dlopen("libc.so.6", {
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
    getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
    getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  });
  const { getsockopt, getsockname, getpeername } = libc.symbols;
  const found: number[] = [];
  const [address, size, value] = [new Uint8Array(28), new Uint32Array(1), new Int32Array(1)];
  for (let fd = 3; fd < 4096; fd++) {
    size[0] = 28;
    if (getpeername(fd, address, size) !== 0) continue;
    size[0] = 28;
    if (getsockname(fd, address, size) !== 0 || (address[2]! << 8 | address[3]!) !== port) continue;
    size[0] = 4;
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, size) === 0) found.push(value[0]!);
  }
  libc.close();
  return found;
}

Deno.test({
  name: "what a TLS listener accepts has it; Deno.serve alone leaves it off",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const ca = await newCa("test CA", Date.now());
    const pair = await newServer(ca, { nowMs: Date.now(), names: ["127.0.0.1", "::1"] });
    for (const hostname of ["127.0.0.1", "::1"]) {
      using client = Deno.createHttpClient({ caCerts: [ca.certificate], http2: false });
      const tls = { current: pair, onChange: () => () => {} };
      const ours = listen({ hostname, port: 0 }, () => new Response("hi"), { log: silentLogger, token: null, tls });
      const { cert, key } = pair;
      const bare = Deno.serve({ hostname, port: 0, cert, key, onListen() {} }, () => new Response("hi"));
      // The connection stays open behind the answer.
      for (const port of [ours.port, bare.addr.port]) {
        await (await fetch(`https://${formatAddress({ hostname, port })}/`, { client })).text();
      }
      assertEquals(noDelaysOf(ours.port), [1]);
      assertEquals(noDelaysOf(bare.addr.port), [0], "Deno sets it by itself now: runtime/nodelay.ts can go");
      client.close();
      await ours.close();
      await bare.shutdown();
    }
    assertEquals(setNoDelay(1), false, "nothing listens there");
  },
});

Deno.test("without permission for FFI nothing is asked for, and answers take the other way", async () => {
  const module = new URL("../../runtime/nodelay.ts", import.meta.url).href;
  const code = `import { setNoDelay } from ${JSON.stringify(module)};
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    console.log(setNoDelay(listener.addr.port));`;
  const run = async (...flags: string[]) => {
    const args = ["run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", ...flags, "-"];
    const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(code));
    await writer.close();
    return new TextDecoder().decode((await child.output()).stdout).trim();
  };
  assertEquals(await run(), "false");
  if (Deno.build.os === "linux") assertEquals(await run("--allow-ffi"), "true");
});

Deno.test("the other way: a small answer is a stream without length, a long one and a HEAD stay as they are", async () => {
  const get = new Request("https://x/");
  const small = new Response("small", { status: 203, headers: { "content-length": "5", etag: '"x"' } });
  const answer = withoutStall(get, small);
  assertEquals([...answer.headers.keys()], ["content-type", "etag"]);
  assertEquals([answer.status, await answer.text()], [203, "small"]);
  const long = new Response("x", { headers: { "content-length": "100000" } });
  assertEquals(withoutStall(get, long), long);
  const head = new Request("https://x/", { method: "HEAD" });
  assertEquals(withoutStall(head, long), long);
  const empty = new Response(null, { status: 204 });
  assertEquals(withoutStall(get, empty), empty);

  const cancelled = Promise.withResolvers<unknown>();
  const endless = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1)), cancel: cancelled.resolve });
  await withoutStall(get, new Response(endless)).body!.cancel("gone");
  assertEquals(await cancelled.promise, "gone");
  const broken = new ReadableStream({ pull: (c) => c.error(new Error("broke off")) });
  await assertRejects(() => withoutStall(get, new Response(broken)).text(), Error, "broke off");
});
