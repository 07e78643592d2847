/** Ports for programs that must be told theirs. */

/** One that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Resolves once an HTTP server is there. @throws {Error} after 20 s */
export async function untilItAnswers(url: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    try {
      await (await fetch(url)).body?.cancel();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`${url} did not start`);
}
