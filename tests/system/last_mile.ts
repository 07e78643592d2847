/** Other people's caches between us and the viewer, as real processes with as little said to them as can be. */
import { join } from "@std/path";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createServer, parsePolicy } from "../../server/mod.ts";
import { memoryStore } from "../../server/store/mod.ts";
import { noUploads } from "../../server/upload/mod.ts";
import { eventually, freePorts, tempDir } from "../kit/mod.ts";

/** Our server, and what it was asked since it was last looked at. */
export interface AskedServer extends AsyncDisposable {
  readonly url: string;
  /** Each request as `GET /path 200`, in order; taken away by looking. */
  asked(): string[];
}

/** Starts a server with a policy, and puts objects in it. */
export async function startAskedServer(
  policy: Record<string, unknown>[],
  objects: Record<string, Uint8Array<ArrayBuffer>>,
): Promise<AskedServer> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    await createServer({
      identity: { id: "a", provider: "local", region: "local", role: "origin", labels: {} },
      store: memoryStore(),
      uploads: () => noUploads,
      policy: parsePolicy(JSON.stringify({ rules: policy })),
    }),
  );
  let asked: string[] = [];
  const listening = listen({ hostname: "127.0.0.1", port: 0 }, async (request, info) => {
    const response = await server.handler(request, info);
    asked.push(`${request.method} ${new URL(request.url).pathname} ${response.status}`);
    return response;
  }, { log: silentLogger, token: null });
  stack.defer(() => listening.close(2000));
  server.start(listening.url);
  for (const [path, body] of Object.entries(objects)) {
    await (await fetch(listening.url + path, { method: "PUT", body })).body?.cancel();
  }
  asked = [];
  const owned = stack.move();
  return {
    url: listening.url,
    asked() {
      const seen = asked;
      asked = [];
      return seen;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A cache of somebody else. */
export interface ForeignCache extends AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
}

/** Squid as a provider has it: a forward proxy that keeps what it may, in memory. */
export async function startSquid(): Promise<ForeignCache> {
  const [port] = freePorts(1);
  return await startCache("squid", port!, async (folder) => {
    const file = join(folder, "squid.conf");
    await Deno.writeTextFile(
      file,
      `
http_port 127.0.0.1:${port}
http_access allow all
cache_mem 64 MB
maximum_object_size_in_memory 32 MB
memory_cache_shared off
access_log none
cache_log ${folder}/cache.log
cache_store_log none
coredump_dir ${folder}
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
`,
    );
    return ["-N", "-f", file];
  });
}

/** Varnish before one server, with nothing but its built-in rules. */
export async function startVarnish(backend: string): Promise<ForeignCache> {
  const [port] = freePorts(1);
  return await startCache("varnishd", port!, async (folder) => {
    const file = join(folder, "default.vcl");
    const { hostname, port: theirs } = new URL(backend);
    await Deno.writeTextFile(file, `vcl 4.1;\nbackend default { .host = "${hostname}"; .port = "${theirs}"; }\n`);
    const address = ["-a", `127.0.0.1:${port}`];
    return ["-F", "-j", "none", "-n", join(folder, "work"), ...address, "-f", file, "-s", "malloc,64m"];
  });
}

async function startCache(
  command: string,
  port: number,
  argsIn: (folder: string) => Promise<string[]>,
): Promise<ForeignCache> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  // Started by root, Squid writes as another user.
  await Deno.chmod(folder, 0o777);
  const path = `${Deno.env.get("PATH")}:/usr/sbin`;
  const process = new Deno.Command(command, {
    args: await argsIn(folder),
    env: { PATH: path },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(process.stderr).text();
  let ended: number | null = null;
  const status = process.status.then(({ code }) => ended = code);
  stack.defer(async () => {
    if (ended === null) process.kill("SIGTERM");
    await status;
    await said;
  });
  await eventually(async () => {
    if (ended !== null) return true;
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  }, { what: `${command} listening`, deadlineMs: 60_000 });
  if (ended !== null) throw new Error(`${command} ended with ${ended}: ${await said}`);
  const owned = stack.move();
  return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
