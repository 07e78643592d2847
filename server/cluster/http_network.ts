/** The other servers over HTTP: what `ports.ts` calls the network. */
import { CdnError, formatEntityTag } from "../../proto/mod.ts";
import { contentLength, readAll, readChunks } from "../../runtime/body.ts";
import type { PeerClient } from "../../runtime/peer_client.ts";
import { calls } from "./calls.ts";
import type { IncomingBody, Network } from "./ports.ts";
import { decodeBodies, encodeDigests } from "./small_bodies.ts";

/** Reaches servers by their URLs; `client` carries the encoding, the keys and the signatures. */
export function httpNetwork(client: PeerClient): Network {
  return {
    ask(url, name, question, { timeoutMs, signal }) {
      const { question: asked, answer } = calls[name];
      // The schemas belong to each other by name, which the compiler cannot follow.
      return client.ask(`${url}/-/v1/peer/${name}`, answer, {
        question: [asked, question as never],
        timeoutMs,
        signal,
      }) as never;
    },

    async openBody(url, { sha256, start, idleMs, signal }): Promise<IncomingBody> {
      const response = await client.send({
        url: `${url}/-/v1/peer/bodies/${sha256}`,
        headers: start > 0 ? { "range": `bytes=${start}-`, "if-range": formatEntityTag(sha256) } : {},
        timeoutMs: idleMs,
        signal,
      });
      try {
        return { ...placeOf(response), chunks: chunksOf(response.body, idleMs) };
      } catch (error) {
        await response.body?.cancel().catch(() => {});
        throw error;
      }
    },

    async smallBodies(url, bodies, { timeoutMs, signal }) {
      const response = await client.send({
        method: "POST",
        url: `${url}/-/v1/peer/bodies`,
        headers: { "content-type": "text/plain; charset=utf-8" },
        body: encodeDigests(bodies.map(({ sha256 }) => sha256)),
        timeoutMs,
        signal,
      });
      const sizes = bodies.map(({ size }) => size);
      const limit = sizes.reduce((sum, size) => sum + 4 + size, 0);
      return decodeBodies(await readAll(response, { limit, idleMs: timeoutMs }), sizes);
    },
  };
}

/** Cancels the body also where its reader ends before the first chunk, which a generator does not hear of. */
function chunksOf(body: ReadableStream<Uint8Array> | null, idleMs: number): AsyncIterable<Uint8Array> {
  const chunks = readChunks(body, { idleMs });
  let begun = false;
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        begun = true;
        return chunks.next();
      },
      async return() {
        if (!begun) await body?.cancel().catch(() => {});
        return await chunks.return(undefined);
      },
    }),
  };
}

/** Where the answer's body starts in the whole, and how long the whole is. */
function placeOf(response: Response): { start: number; size: number | null } {
  if (response.status === 200) return { start: 0, size: contentLength(response.headers) };
  const range = response.headers.get("content-range") ?? "";
  const [, first, size] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15})$/.exec(range) ?? [];
  if (response.status === 206 && first !== undefined) return { start: Number(first), size: Number(size) };
  throw new CdnError(`${new URL(response.url).host} answered ${response.status} "${range.slice(0, 80)}" for a body`, {
    source: "peer",
    status: 502,
  });
}
