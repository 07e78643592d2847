/** Which manifests are believed: those that the server signed that accepted the write. */
import { type Manifest, messageFaults, wire } from "../../proto/mod.ts";
import { manifestSignatureHolds } from "../../proto/manifest_signature.ts";
import type { Holders } from "./holders.ts";
import type { Keys } from "./ports.ts";

/** What is wrong with a manifest whoever wrote it. */
export function malformed(message: wire.Manifest): string | null {
  const [first] = messageFaults(wire.ManifestSchema, message);
  if (first) return `malformed: ${first.field} ${first.detail}`;
  return message.deleted && (message.sha256 !== "" || message.size > 0n) ? "malformed: a tombstone with a body" : null;
}

/** What trust is founded on. */
export interface TrustOptions {
  keys: Pick<Keys, "verify">;
  /** The keys that a server has, or had: what it once signed stays right. */
  keysOf: (id: string) => readonly Uint8Array[];
  holders: Holders;
}

/** Judges what other servers tell. */
export class Trust {
  readonly #options: TrustOptions;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  /** Why a manifest is not believed; null where it is. */
  fault(manifest: Manifest): string | null {
    const { keys, keysOf } = this.#options;
    const known = keysOf(manifest.version.server);
    const what = manifest.path.slice(0, 200);
    if (known.length === 0) return `the signer of ${what} is not known here: ${manifest.version.server}`;
    if (!manifest.signature) return `${what} is not signed`;
    const { signature } = manifest;
    const holds = known.some((key) => manifestSignatureHolds(manifest, signature, key, keys.verify));
    return holds ? null : `${what} is forged: its signature is not that of ${manifest.version.server}`;
  }

  /**
   * Why a server that shows, when it is asked, an older version of something than ours is one that went back: it said
   * before that it holds ours. Null where it is merely late. (An old offer may be a late one; a fresh answer is not.)
   * @param knownThere it knows some older version; else none at all
   * @param asOf when it was asked (`Holders.asOf`): what it took since then, it could not show
   */
  rollback(from: string, ours: Manifest, knownThere: boolean, asOf: number): string | null {
    if (!this.#options.holders.has(from, ours, asOf)) return null;
    const what = ours.path.slice(0, 200);
    return `went back: ${knownThere ? "shows an older" : "shows no"} version of ${what} than the one that it held`;
  }
}
