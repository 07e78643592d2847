/** Programs that answer the admin API with what a test tells them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { badRequest, wire } from "../../proto/mod.ts";
import { type Handler, listen, type Listening } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import { freePorts } from "../kit/mod.ts";

/** 25 November 2026, noon. */
export const NOON = Date.UTC(2026, 10, 25, 12);
export const TOKEN = "0123456789abcdef-token";

/** A record as servers list it, with what a test says of it. */
export function record(
  id: string,
  change: Exclude<MessageInitShape<typeof wire.ServerSchema>, wire.Server> = {},
): wire.Server {
  return create(wire.ServerSchema, {
    id,
    url: `http://${id}.example:8080`,
    provider: `p-${id}`,
    region: "r",
    role: "origin",
    software: "0.1.0",
    updated: { wallMs: BigInt(NOON), counter: 0, server: id },
    health: { state: "alive", lastHeardMs: BigInt(NOON - 1000) },
    ...change,
  });
}

/** What a fake server says; may be changed while it runs. */
export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  list: wire.Server[];
  /** One for each time it is asked, the last for ever; an error is answered as such. */
  durability: (MessageInitShape<typeof wire.DurabilitySchema> | Error)[];
  /** Method and path of each request to the API, with its message. */
  readonly calls: string[];
  /** Asked first; undefined: as ever. */
  intercept: ((request: Request) => undefined | Response | Promise<Response>) | null;
}

/** A server that has a token set. */
export function startFakeServer(list: wire.Server[] = []): FakeServer {
  let listening: Listening | undefined = undefined;
  const fake: FakeServer = {
    get url() {
      return listening!.url;
    },
    list,
    durability: [{ servers: list.length, minCopies: 1 }],
    calls: [],
    intercept: null,
    [Symbol.asyncDispose]: () => listening!.close(),
  };
  listening = startProgram(async (request) => {
    const answer = await fake.intercept?.(request);
    if (answer) return answer;
    const { pathname } = new URL(request.url);
    if (pathname === "/-/readyz") return new Response("ok\n");
    if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
      throw badRequest("This needs the token", { status: 401 });
    }
    const id = /^\/-\/v1\/servers\/([^/]+)$/.exec(pathname)?.[1];
    const found = fake.list.find((server) => server.id === id);
    let said = "";
    try {
      if (pathname === "/-/v1/durability") {
        const next = fake.durability.length > 1 ? fake.durability.shift()! : fake.durability[0]!;
        if (next instanceof Error) throw next;
        return messageResponse(request, wire.DurabilitySchema, create(wire.DurabilitySchema, next));
      }
      if (pathname === "/-/v1/servers" && request.method === "GET") {
        return messageResponse(request, wire.ServerListSchema, create(wire.ServerListSchema, { servers: fake.list }));
      }
      if (pathname === "/-/v1/servers" && request.method === "POST") {
        const { url } = await readMessage(request, wire.AddServerSchema);
        said = ` ${url}`;
        fake.list.push(record("added", { url }));
        return messageResponse(request, wire.ServerSchema, fake.list.at(-1)!, { status: 201 });
      }
      if (!found) throw badRequest(`There is no server ${id}`, { status: 404 });
      if (request.method === "DELETE") {
        fake.list.splice(fake.list.indexOf(found), 1);
        return new Response(null, { status: 204 });
      }
      if (request.method === "PATCH") {
        const { draining } = await readMessage(request, wire.ChangeServerSchema);
        said = ` draining=${draining}`;
        found.draining = draining;
      }
      return messageResponse(request, wire.ServerSchema, found);
    } finally {
      fake.calls.push(`${request.method} ${pathname}${said}`);
    }
  });
  return fake;
}

/** Any program on loopback. */
export function startProgram(handler: Handler): Listening & AsyncDisposable {
  const program = listen({ hostname: "127.0.0.1", port: 0 }, handler, { log: silentLogger, token: TOKEN });
  return Object.assign(program, { [Symbol.asyncDispose]: () => program.close() });
}

/** URLs at which nobody listens. */
export function deadUrls(count: number): string[] {
  return freePorts(count).map((port) => `http://127.0.0.1:${port}`);
}

/** The environment of a command: the token alone. */
export const input = {
  env: (name: string) => name === "METACDN_TOKEN" ? TOKEN : undefined,
  readTextFile: (path: string) => Deno.readTextFileSync(path),
};
