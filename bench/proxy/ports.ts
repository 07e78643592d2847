/** Ports for programs that must be told theirs. */

/** One that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Resolves once an HTTP server is there, and answers with a certain status if one is given. @throws {Error} after 20 s */
export async function untilItAnswers(url: string, status?: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    try {
      const answer = await fetch(url);
      await answer.body?.cancel();
      if (status === undefined || answer.status === status) return;
    } catch { /* not yet */ }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} did not start`);
}
