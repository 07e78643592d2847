/**
 * What is signed of a server's record, by `updated.server`: its canonical bytes, in UTF-8
 *
 *     metacdn-server-1
 *     [id,url,provider,region,role,[[key,value],…],software,[wallMs,counter,server],removed,publicKey,certificate,draining,[knownKey,…]]
 *
 * in the manner of `manifest_signature.ts`: labels sorted by key, `wallMs` as decimal digits in a text (it is a 64-bit
 * integer), bytes as base64, and null in place of an `updated` that is absent. Health is what others know of it, and is not signed.
 */
import type { Server } from "./gen/metacdn/v1/server_pb.ts";
import { canonicalBytes, sortedPairs } from "./manifest_signature.ts";

const FIRST_LINE = "metacdn-server-1\n";

/** The canonical bytes of a record, without health and signature. */
export function recordBytes(record: Server): Uint8Array<ArrayBuffer> {
  const { updated } = record;
  return canonicalBytes(FIRST_LINE, [
    record.id,
    record.url,
    record.provider,
    record.region,
    record.role,
    sortedPairs(record.labels),
    record.software,
    updated ? [`${updated.wallMs}`, updated.counter, updated.server] : null,
    record.removed,
    record.publicKey.toBase64(),
    record.certificate.toBase64(),
    record.draining,
    record.knownKeys.map((key) => key.toBase64()),
  ]);
}
