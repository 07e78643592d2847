/** A real content server behind a gate that can be told to misbehave. */
import { type Handler, listen, type Listening } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../kit/mod.ts";

/** One call as it came in. */
export interface Call {
  /** Such as `PUT chunk 1024`. */
  what: string;
  /** 1 for the first call of this `what`. */
  nth: number;
  request: Request;
}

/** What the gate does with a call: an answer of its own, or null to let it through. */
export type Fault = (call: Call) => Response | null | Promise<Response | null>;

/** The gate; requests go to `url`. */
export interface Gate extends AsyncDisposable {
  url: string;
  server: TestServer;
  /** Every call of an upload session in order of arrival. */
  calls: string[];
}

/** Starts a server and a gate before it. */
export async function startGate(fault: Fault = () => null, options: TestServerOptions = {}): Promise<Gate> {
  const server = await startTestServer(options);
  const calls: string[] = [];
  const handler: Handler = async (request, info) => {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith("/-/v1/uploads")) return await server.server.handler(request, info);
    const [, , , , id, verb, offset] = pathname.split("/");
    const what = id === undefined
      ? `${request.method} create`
      : [request.method, verb === "chunks" ? "chunk" : verb ?? "session", offset]
        .filter((part) => part !== undefined).join(" ");
    calls.push(what);
    const answer = await fault({ what, nth: calls.filter((call) => call === what).length, request });
    if (!answer) return await server.server.handler(request, info);
    await request.body?.cancel().catch(() => {});
    return answer;
  };
  const listening: Listening = listen({ hostname: "127.0.0.1", port: 0 }, handler, { log: silentLogger, token: null });
  return {
    url: listening.url,
    server,
    calls,
    async [Symbol.asyncDispose]() {
      await listening.close(2000);
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A problem+json answer. */
export function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  return Response.json({ status, detail }, { status, headers });
}

/** A relay that stands between a client and a server. */
export interface Cutter extends AsyncDisposable {
  url: string;
  /** How many connections were cut. */
  cuts: number;
}

/** A relay on the level of TCP: cuts the first connections after so many bytes from the client. */
export function startCutter(targetPort: number, cutAfter: number[]): Cutter {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const running: Promise<unknown>[] = [];
  const close = (connection: Deno.TcpConn) => open.delete(connection) && connection.close();
  const pump = async (from: Deno.TcpConn, to: Deno.TcpConn, budget: number) => {
    const buffer = new Uint8Array(16 << 10);
    try {
      for (let passed = 0;;) {
        const count = await from.read(buffer);
        if (count === null) return;
        passed += count;
        if (passed > budget) {
          cutter.cuts++;
          return;
        }
        for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
      }
    } catch {
      /* the other side is gone */
    } finally {
      close(from);
      close(to);
    }
  };
  const accepting = (async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: targetPort });
      open.add(client).add(server);
      running.push(pump(client, server, cutAfter.shift() ?? Infinity), pump(server, client, Infinity));
    }
  })();
  const cutter: Cutter = {
    url: `http://127.0.0.1:${listener.addr.port}`,
    cuts: 0,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open) close(connection);
      await accepting.catch(() => {});
      await Promise.all(running);
    },
  };
  return cutter;
}
