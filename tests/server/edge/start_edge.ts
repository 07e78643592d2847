/** A real edge before one origin. */
import { join } from "@std/path";
import { tempDir } from "../../kit/temp_dir.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../../kit/test_server.ts";

/** What of an edge may be otherwise. */
export interface StartEdgeOptions extends Partial<TestServerOptions> {
  /** Where its cache is; in a folder that goes with it unless given. */
  folder?: string;
  diskBytes?: number;
}

/** Starts an edge, which asks its origin once for each request. */
export async function startEdge(
  origin: string,
  { folder, diskBytes = 64 << 20, ...options }: StartEdgeOptions = {},
): Promise<TestServer> {
  await using stack = new AsyncDisposableStack();
  const cache = folder ?? stack.use(await tempDir()).path;
  const edge = await startTestServer({
    role: "edge",
    edge: {
      origins: [origin],
      folder: join(cache, "cache"),
      diskBytes,
      memoryBytes: 16 << 20,
      originSettings: { maxAttempts: 1, headTimeoutMs: 5000 },
    },
    ...options,
  });
  const kept = stack.move();
  return {
    ...edge,
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await kept.disposeAsync();
    },
  };
}
