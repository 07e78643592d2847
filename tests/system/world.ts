/** Real programs as real processes: two servers that know each other, prices, and a proxy before them. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Program } from "../../cli/up/program.ts";
import { eventually, tempDir } from "../kit/mod.ts";

/** What runs, and where. */
export interface World extends AsyncDisposable {
  folder: string;
  servers: Record<"a" | "b", Program>;
  proxy: Program;
  /** Puts an object at `a` and waits until `b` has it too. */
  put(path: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** Starts it; disposal ends every process and removes the folder. */
export async function startWorld({ policy = "network", workers = 1 } = {}): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  const start = async (name: string, args: string[]) =>
    stack.adopt(
      await Program.start({ name, args: [...args, "--listen", "127.0.0.1:0"], logFile: join(folder, `${name}.log`) }),
      (program) => program.stop(),
    );
  const server = (id: string, ...rest: string[]) =>
    start(id, ["server", "--id", id, "--data", join(folder, id), ...rest]);
  const a = await server("a", "--provider", "aws", "--region", "us-east-1");
  const b = await server("b", "--provider", "azure", "--region", "westeurope", "--peers", a.url);
  const pricing = await start("pricing", ["pricing", "--data", join(folder, "pricing")]);
  const proxy = await start("proxy", [
    "proxy",
    ...["--server", `${a.url},${b.url}`, "--pricing", pricing.url, "--policy", policy, "--workers", String(workers)],
    ...["--name", "cdn.example.com", "--probe-interval", "200"],
  ]);
  await eventually(async () => {
    const explained = await (await fetch(`${proxy.url}/-/explain?path=/x`)).json();
    return explained.candidates.filter((one: { excluded: string }) => one.excluded === "").length === 2;
  }, { what: "the proxy knowing both servers", deadlineMs: 60_000 });
  const owned = stack.move();
  return {
    folder,
    servers: { a, b },
    proxy,
    async put(path, bytes) {
      const answer = await fetch(`${a.url}${path}`, { method: "PUT", body: bytes });
      assertEquals(answer.status, 201, await answer.text());
      await eventually(async () => (await fetch(`${b.url}${path}`, { method: "HEAD" })).ok, {
        what: "replication",
        deadlineMs: 60_000,
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
