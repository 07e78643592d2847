/**
 * Two of each program: servers, pricing servers, proxies. One after the other dies a real death while viewers read, and
 * comes back. No viewer loses more than a retry at the other proxy, and in the end both pricing servers hold the same.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Program } from "../../cli/up/program.ts";
import { eventually, freePorts, tempDir } from "../kit/mod.ts";

const SIZE = 64 << 10;

Deno.test("the loss of any one machine costs no viewer more than a retry", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  const names = ["a", "b", "prices-a", "prices-b", "proxy-a", "proxy-b"] as const;
  type Name = typeof names[number];
  // Programs are told of each other before they run, and come back at their place.
  const ports = freePorts(names.length);
  const urls = Object.fromEntries(names.map((name, at) => [name, `http://127.0.0.1:${ports[at]}`])) as Record<
    Name,
    string
  >;
  const servers = `${urls.a},${urls.b}`;
  const pricing = `${urls["prices-a"]},${urls["prices-b"]}`;
  const data = (name: Name) => ["--id", name, "--data", join(folder, name)];
  const proxy = ["proxy", "--server", servers, "--pricing", pricing, "--workers", "1", "--probe-interval", "300"];
  const words: Record<Name, string[]> = {
    "a": ["server", ...data("a"), "--provider", "aws", "--region", "us-east-1", "--peers", urls.b],
    "b": ["server", ...data("b"), "--provider", "azure", "--region", "westeurope", "--peers", urls.a],
    "prices-a": ["pricing", ...data("prices-a"), "--peers", pricing, "--peer-interval", "300"],
    "prices-b": ["pricing", ...data("prices-b"), "--peers", pricing, "--peer-interval", "300"],
    "proxy-a": proxy,
    "proxy-b": proxy,
  };
  const running = new Map<Name, Program>();
  stack.defer(async () => void await Promise.all([...running.values()].map((program) => program.stop())));
  const start = async (name: Name) => {
    const args = [...words[name], "--listen", new URL(urls[name]).host];
    running.set(name, await Program.start({ name, args, logFile: join(folder, `${name}.log`) }));
  };
  const kill = async (name: Name) => {
    await running.get(name)!.kill();
    running.delete(name);
  };
  const json = async (url: string) => {
    const response = await fetch(url);
    const text = await response.text();
    assert(response.ok, `${url}: ${text}`);
    return JSON.parse(text);
  };
  const put = async (at: "prices-a" | "prices-b", note: string) => {
    const url = `${urls[at]}/-/v1/prices/aws/us-east-1`;
    const body = JSON.stringify({ ...await json(url), note });
    const response = await fetch(url, { method: "PUT", headers: { "content-type": "application/json" }, body });
    assertEquals(response.status, 200, await response.text());
  };
  const usage = async (at: "prices-a" | "prices-b") => {
    const { counts } = await json(`${urls[at]}/-/v1/usage`);
    return (counts as { bytes: string }[]).reduce((sum, { bytes }) => sum + Number(bytes), 0);
  };
  const note = async (at: "prices-a" | "prices-b") => (await json(`${urls[at]}/-/v1/prices/aws/us-east-1`)).note;
  const ready = (name: "proxy-a" | "proxy-b", count: number) =>
    eventually(async () => {
      const { candidates, prices } = await json(`${urls[name]}/-/explain?path=/x`);
      const up = candidates.filter((one: { excluded: string }) => one.excluded === "");
      return up.length === count && prices === "fresh";
    }, { what: `${name} knowing ${count} servers and prices`, deadlineMs: 60_000 });

  await Promise.all(names.map(start));
  await Promise.all([ready("proxy-a", 2), ready("proxy-b", 2)]);
  const bytes = crypto.getRandomValues(new Uint8Array(SIZE));
  const stored = await fetch(`${urls.a}/photo.jpg`, { method: "PUT", body: bytes });
  assertEquals(stored.status, 201, await stored.text());
  await eventually(async () => (await fetch(`${urls.b}/photo.jpg`, { method: "HEAD" })).ok, {
    what: "replication",
    deadlineMs: 60_000,
  });

  // Viewers: each asks one proxy, and the other one where that fails.
  const viewed = { whole: 0, retried: 0, lost: [] as string[] };
  const view = async (at: string) => {
    const response = await fetch(`${at}/photo.jpg`);
    const body = await response.bytes();
    if (response.status !== 200) throw new Error(`${response.status} ${new TextDecoder().decode(body).slice(0, 300)}`);
    if (body.length !== SIZE || body.some((byte, index) => byte !== bytes[index])) throw new Error("other bytes");
  };
  let viewing = true;
  const viewers = Array.from({ length: 4 }, async (_, index) => {
    const order = [urls["proxy-a"], urls["proxy-b"]];
    if (index % 2) order.reverse();
    while (viewing) {
      try {
        await view(order[0]!);
      } catch {
        viewed.retried++;
        await view(order[1]!).catch((error) => viewed.lost.push(String(error)));
      }
      viewed.whole++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const moreViews = async (count = 60) => {
    const until = viewed.whole + count;
    await eventually(() => viewed.whole >= until, { what: "more views", deadlineMs: 60_000 });
    assertEquals(viewed.lost, []);
  };

  await moreViews();
  assertEquals(viewed.retried, 0, "nothing has died yet");
  for (const name of ["a", "b"] as const) {
    await kill(name);
    await moreViews();
    await start(name);
    await Promise.all([ready("proxy-a", 2), ready("proxy-b", 2)]);
  }
  assertEquals(viewed.retried, 0, "a server's death is the proxy's to deal with");

  for (const [dies, stays] of [["prices-a", "prices-b"], ["prices-b", "prices-a"]] as const) {
    await kill(dies);
    const before = await usage(stays);
    await put(stays, `set while ${dies} was away`);
    await eventually(async () => await usage(stays) > before, { what: "usage told meanwhile", deadlineMs: 60_000 });
    await moreViews();
    await Promise.all([ready("proxy-a", 2), ready("proxy-b", 2)]);
    await start(dies);
    await eventually(async () => await note(dies) === `set while ${dies} was away` && await usage(dies) > before, {
      what: `${dies} having what came while it was away`,
      deadlineMs: 60_000,
    });
  }
  assertEquals(viewed.retried, 0, "a pricing server's death is nobody's trouble");

  const told = await usage("prices-a");
  for (const name of ["proxy-a", "proxy-b"] as const) {
    await kill(name);
    await moreViews();
    await start(name);
    await ready(name, 2);
  }
  assert(viewed.retried > 0, "viewers of the proxy that was gone went to the other one");
  viewing = false;
  await Promise.all(viewers);
  assertEquals(viewed.lost, []);

  // No more news: what the proxies have still to tell goes to both.
  for (const name of ["proxy-a", "proxy-b"] as const) {
    await running.get(name)!.stop();
    running.delete(name);
  }
  const held = async (at: "prices-a" | "prices-b") =>
    JSON.stringify([await json(`${urls[at]}/-/v1/prices`), await json(`${urls[at]}/-/v1/usage`)]);
  await eventually(async () => await held("prices-a") === await held("prices-b"), { what: "both holding the same" });
  assert(await usage("prices-a") > told, "what a proxy told is not lost with it, and the others go on");
  const { peers } = await json(`${urls["prices-a"]}/-/v1/peers`);
  assertEquals(peers.map(({ id, state }: { id: string; state: string }) => [id, state]).sort(), [
    ["prices-a", "self"],
    ["prices-b", "equal"],
  ]);
});
