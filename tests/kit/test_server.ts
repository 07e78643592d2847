/** A content server for tests: on loopback, on a free port, in a folder that goes with it. */
import { join } from "@std/path";
import { noSecrets, type Secrets } from "../../runtime/guard.ts";
import type { Listening } from "../../runtime/listen.ts";
import { type Logger, silentLogger } from "../../runtime/log.ts";
import {
  type ContentServer,
  createServer,
  listenServer,
  openServer,
  type OpenServerOptions,
} from "../../server/mod.ts";
import type { Store } from "../../server/store/mod.ts";
import { noUploads } from "../../server/upload/mod.ts";
import { tempDir } from "./temp_dir.ts";

/** What a test may say of its server; all of it has a default. */
export interface TestServerOptions extends Partial<Omit<OpenServerOptions, "identity" | "data">> {
  /** What it keeps objects in; it is alone then, and has no upload sessions. Else a data folder has it all. */
  store?: Store;
  id?: string;
  provider?: string;
  region?: string;
  role?: "origin" | "edge";
  labels?: Record<string, string>;
  /** The data folder; a new one that is removed at the end, unless given. */
  data?: string;
  /** URLs of servers to join. */
  peers?: readonly string[];
  /** 0: any free port. */
  port?: number;
  /** False: `Deno.serve` alone answers. */
  front?: boolean;
  /** False: the test calls `server.start` itself. */
  start?: boolean;
}

/** A running server. `await using` closes it. */
export interface TestServer extends AsyncDisposable {
  readonly id: string;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly port: number;
  readonly data: string;
  readonly server: ContentServer;
  /** Ends it; the data folder stays until disposal. */
  stop(): Promise<void>;
  /** `fetch` of a path here, with the token where there is one. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

let count = 0;

/** Starts a server: what `metacdn server` runs, unless a `store` is given. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { id = `s${++count}`, provider = "local", region = "local", role = "origin", labels = {} } = options;
  const {
    data: givenData,
    peers = [],
    port = 0,
    front = true,
    start = true,
    store,
    uploads,
    cluster,
    edge,
    purges,
    ...rest
  } = options;
  const secrets: Secrets = options.secrets ?? noSecrets;
  const log: Logger = options.log ?? silentLogger;
  await using folders = new AsyncDisposableStack();
  const data = givenData ?? join(folders.use(await tempDir()).path, "data");
  const identity = { id, provider, region, role, labels };
  const server = store
    ? await createServer({ ...rest, secrets, log, identity, store, uploads: () => noUploads })
    : await openServer({
      ...rest,
      secrets,
      log,
      identity,
      data,
      ...(edge && { edge }),
      ...(cluster && { cluster }),
      ...(uploads && { uploads }),
      ...(purges && { purges }),
    });
  folders.use(server);
  const listening: Listening = listenServer({ hostname: "127.0.0.1", port }, {
    handler: server.handler,
    application: front ? server.application : null,
    log,
    token: secrets.token,
  });
  if (start) server.start(listening.url, peers);
  const cleanup = folders.move();

  let stopped: Promise<void> | undefined;
  const stop = () =>
    stopped ??= (async () => {
      await server.retire();
      await listening.close(2000);
      await server.close();
    })();
  return {
    id,
    url: listening.url,
    port: listening.port,
    data,
    server,
    stop,
    fetch(path, init = {}) {
      const headers = new Headers(init.headers);
      if (secrets.token && !headers.has("authorization")) headers.set("authorization", `Bearer ${secrets.token}`);
      return fetch(`${listening.url}${path}`, { ...init, headers });
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await cleanup.disposeAsync();
    },
  };
}
