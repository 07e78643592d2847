/** The suite's origin: it answers each request of a test as the test's own description says, and keeps what came. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import handleConfig from "http-cache-tests/server/handle-config.mjs";
import handleState from "http-cache-tests/server/handle-state.mjs";
import handleTest from "http-cache-tests/server/handle-test.mjs";
import { stash } from "http-cache-tests/server/utils.mjs";

/** An origin on a loopback port of its own. */
export interface Origin extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
}

/** What the origin answers to any path that is none of the suite's. */
export const greeting = "the suite's origin";

type Handler = (segments: string[], request: IncomingMessage, response: ServerResponse) => void;
const handlers: Record<string, Handler> = { config: handleConfig, state: handleState, test: handleTest };

/** Starts the origin. The suite's handlers keep their tests by a random name, so that several origins do not meet. */
export async function startOrigin(): Promise<Origin> {
  const server = createServer((request, response) => {
    const [, folder = "", ...segments] = new URL(request.url!, "http://origin").pathname.split("/");
    // A test none of whose requests came here: the handler would say the same, and complain on the console.
    if (folder === "state" && !stash.has(segments[0])) return response.writeHead(404).end();
    const handler = Object.hasOwn(handlers, folder) ? handlers[folder] : undefined;
    if (handler) return handler(segments, request, response);
    response.end(greeting);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
