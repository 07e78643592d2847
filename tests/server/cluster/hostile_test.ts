/** Peers that never end an answer, drip it, or lie about its size: they are left, bounded in time and memory. */
import { assert, assertEquals } from "@std/assert";
import { type Fault, type Node, noise, startNode, until, untilJoined } from "./node.ts";

const MIB = 1 << 20;
/** What is read of an answer at most, and what may be on its way in sockets beside. */
const MOST_READ = 16 * MIB + 16 * MIB;

/** Answers one call, or one body, with something else. */
function instead(name: string, answerIt: () => Response): Fault {
  return (request, answer) => new URL(request.url).pathname.includes(`/peer/${name}`) ? answerIt() : answer();
}

/** An answer without an end; counts what was taken of it, and how often it was left. */
function endless(chunk: Uint8Array<ArrayBuffer>, count: { bytes: number; left: number }): Response {
  let first = true;
  return new Response(
    new ReadableStream<Uint8Array>({
      pull(controller) {
        const begin = first ? new TextEncoder().encode('{"nodes":[],"manifests":[') : chunk;
        first = false;
        count.bytes += begin.length;
        controller.enqueue(begin);
      },
      cancel: () => void count.left++,
    }),
    { headers: { "content-type": "application/json" } },
  );
}

/** An answer that begins and then says nothing, or a byte now and then. */
function dripping(everyMs: number, count: { left: number }): Response {
  let timer: ReturnType<typeof setInterval> | undefined;
  return new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("{"));
        if (everyMs > 0) timer = setInterval(() => controller.enqueue(new TextEncoder().encode(" ")), everyMs);
      },
      cancel() {
        clearInterval(timer);
        count.left++;
      },
    }),
    { headers: { "content-type": "application/json" } },
  );
}

/** b, which is to learn what a and c have; a means ill, c does not; both do not ask by themselves. */
async function world() {
  await using stack = new AsyncDisposableStack();
  const c = stack.use(await startNode("c", { settings: { repairAfterMs: 1e9 } }));
  const a = stack.use(await startNode("a", { peers: [c.url], settings: { repairAfterMs: 1e9 } }));
  await untilJoined(a, c);
  const b = stack.use(
    await startNode("b", {
      settings: {
        exchangeTimeoutMs: 300,
        repairTimeoutMs: 300,
        repairBackoff: { leastMs: 10, mostMs: 50 },
        pullIdleMs: 300,
        failed: { leastMs: 10, mostMs: 50 },
      },
    }),
  );
  const moved = stack.move();
  return { a, b, c, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

async function hasAll(node: Node, count: number): Promise<boolean> {
  for (let at = 0; at < count; at++) if (await node.text(`/${at}`) !== `content ${at}`) return false;
  return true;
}

for (const name of ["servers", "tree", "manifests"]) {
  Deno.test(`an answer to "${name}" without an end, or at a drip: it is left, and the rest goes on`, async () => {
    await using nodes = await world();
    const { a, b, c } = nodes;
    for (let at = 0; at < 20; at++) await c.put(`/${at}`, `content ${at}`);
    await b.put("/own", "own"); // so that trees are walked, not just read
    await until("a has all", () => hasAll(a, 20));
    const count = { bytes: 0, left: 0 };
    const chunk = new TextEncoder().encode(" ".repeat(MIB));
    let asked = 0;
    a.fault = instead(name, () => {
      asked++;
      return asked % 3 === 0 ? endless(chunk, count) : dripping(asked % 3 === 1 ? 0 : 20, count);
    });
    const joining = b.cluster.addServer(a.url).catch((error: Error) => error.message);
    // It is a that has to be asked, except where b cannot come in by it.
    if (name !== "servers") c.fault = () => new Response(null, { status: 503 });
    else await b.cluster.addServer(c.url);
    await until("each way of answering was left", () => count.left >= 3);
    assert(asked >= count.left);
    assert(count.bytes <= MOST_READ * Math.ceil(asked / 3), `${count.bytes} bytes in ${asked} answers`);
    c.fault = (_, answer) => answer();
    await until("b has all from c", () => hasAll(b, 20));
    a.fault = (_, answer) => answer();
    await joining;
    await untilJoined(a, b, c);
    await until("a has what b has", async () => await a.text("/own") === "own");
  });
}

Deno.test("a body at a drip, and one of another length than was said: they are left for a server that gives it", async () => {
  await using nodes = await world();
  const { a, b, c } = nodes;
  const bytes = noise(100_000);
  const { sha256 } = await a.put("/x", bytes);
  await until("c has it", async () => (await c.store.get("/x"))?.sha256 === sha256);
  const count = { left: 0 };
  let asked = 0;
  const lies: (() => Response)[] = [
    () => dripping(20, count),
    () => new Response(noise(100_001)),
    () => new Response(noise(100), { headers: { "content-length": "100" } }),
    () => new Response(noise(100_000), { status: 206, headers: { "content-range": "bytes 0-99999/100001" } }),
  ];
  a.fault = instead("bodies", () => lies[asked++ % lies.length]!());
  c.fault = instead("bodies", () => new Response(null, { status: 503 }));
  await b.cluster.addServer(a.url);
  await until("a was asked for it in every way", () => asked >= lies.length);
  assertEquals(await b.store.open(sha256), null);
  assert(b.health("a")!.marks.length > 0);
  c.fault = (_, answer) => answer();
  await until("b has it from c", async () => (await b.store.get("/x"))?.sha256 === sha256);
});
