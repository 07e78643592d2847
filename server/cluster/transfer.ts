/** One try to bring what is missing of a body into a file: a Range request that goes on where the file ends. */
import { CdnError, formatEntityTag } from "../../proto/mod.ts";
import { contentLength, readChunks } from "../../runtime/body.ts";
import { type PeerClient, words } from "../../runtime/peer_client.ts";

/** How a try ended. */
export type TransferEnd =
  /** The file is as long as the body. */
  | { kind: "whole" }
  /** The connection broke or paused, or the server did not answer: what has come is kept. */
  | { kind: "broken"; reason: string }
  /** The server does not have the body. */
  | { kind: "missing"; reason: string }
  /** The server has something of another size under this digest. */
  | { kind: "false"; reason: string };

/**
 * Appends to `file` what it lacks of the body.
 * @param options.url the base URL of a server that holds the body
 * @param options.size of the body, in bytes: a hard limit on what is read
 * @param options.idleMs how long the body may pause
 * @throws {CdnError} 507 where the file cannot be written for want of room; other file errors as they are.
 */
export async function transfer(
  peers: PeerClient,
  { url, sha256, size, file, idleMs, signal }: {
    url: string;
    sha256: string;
    size: number;
    file: string;
    idleMs: number;
    signal: AbortSignal;
  },
): Promise<TransferEnd> {
  let have = await lengthOf(file);
  if (have > size) {
    await Deno.remove(file);
    have = 0;
  }
  if (have === size && size > 0) return { kind: "whole" };
  let response: Response;
  try {
    response = await peers.send({
      url: `${url}/-/v1/peer/bodies/${sha256}`,
      headers: have > 0 ? { "range": `bytes=${have}-`, "if-range": formatEntityTag(sha256) } : {},
      timeoutMs: idleMs,
      signal,
    });
  } catch (error) {
    const status = error instanceof CdnError ? error.status : 0;
    if (status === 416) return { kind: "false", reason: `${url} has no byte ${have} of ${sha256}` };
    return { kind: status === 404 ? "missing" : "broken", reason: words(error) };
  }
  const start = startOf(response, have, size);
  if (typeof start === "string") {
    await response.body?.cancel().catch(() => {});
    return { kind: "false", reason: `${url} ${start} for ${sha256}` };
  }
  return await append(response, { url, sha256, size, file, idleMs, start });
}

/** Where the answer's body starts in the whole; or what is wrong with it. */
function startOf(response: Response, have: number, size: number): number | string {
  const start = response.status === 206 ? have : 0;
  if (response.status === 206) {
    const range = response.headers.get("content-range") ?? "";
    const [, first, total] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15})$/.exec(range) ?? [];
    if (Number(first) !== have) return `answered the range from ${have} with "${range.slice(0, 80)}"`;
    if (Number(total) !== size) return `announced ${total} bytes instead of ${size}`;
  } else if (response.status !== 200) return `answered ${response.status}`;
  let length: number | null;
  try {
    length = contentLength(response.headers);
  } catch {
    return "sent a wrong Content-Length";
  }
  if (length !== null && length !== size - start) return `announced ${start + length} bytes instead of ${size}`;
  return start;
}

async function append(
  response: Response,
  { url, sha256, size, file, idleMs, start }: {
    url: string;
    sha256: string;
    size: number;
    file: string;
    idleMs: number;
    start: number;
  },
): Promise<TransferEnd> {
  using out = await Deno.open(file, { write: true, create: true, truncate: start === 0, append: start > 0 });
  const chunks = readChunks(response.body, { limit: size - start, idleMs });
  let have = start;
  while (true) {
    let step: IteratorResult<Uint8Array>;
    try {
      step = await chunks.next();
    } catch (error) {
      const more = error instanceof CdnError && error.status === 413;
      return more
        ? { kind: "false", reason: `${url} sent more than the ${size} bytes of ${sha256}` }
        : { kind: "broken", reason: `${url}: ${words(error)}` };
    }
    if (step.done) break;
    try {
      await writeAll(out, step.value);
    } catch (cause) {
      await chunks.return(undefined);
      throw (cause as { code?: string }).code === "ENOSPC"
        ? new CdnError("Cannot take the body: there is no room", { source: "server", status: 507, cause })
        : cause;
    }
    have += step.value.byteLength;
  }
  return have === size ? { kind: "whole" } : { kind: "broken", reason: `${url} ended ${sha256} after ${have} bytes` };
}

/** The length of a file in bytes; 0 where there is none. */
export async function lengthOf(file: string): Promise<number> {
  try {
    return (await Deno.stat(file)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

async function writeAll(out: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) at += await out.write(bytes.subarray(at));
}
