/** What a disk has lost: it is found out here, set aside where it is rotten, and told once. */
import type { Logger } from "../../runtime/log.ts";
import { digestCheck } from "./block_sums.ts";
import { type Bodies, type Hashed, hashPieces } from "./bodies.ts";
import type { Packed } from "./packs.ts";
import type { Records } from "./records.ts";
import type { ScrubbedStore } from "./scrubber.ts";
import type { LostBody } from "./store.ts";
import { piecesOf } from "./stream.ts";
import { isUnreadable } from "./verified_stream.ts";

/** Knows which bodies were lost since the store was opened. */
export class Losses implements ScrubbedStore {
  /** Hears of each once, until it is {@link healed}. */
  onLost: (lost: LostBody) => void = () => {};
  readonly #told = new Set<string>();

  constructor(
    readonly bodies: Bodies,
    readonly records: Pick<Records, "names" | "named">,
    readonly options: { now: () => number; log: Logger },
  ) {}

  /** A body has no file; true where it ought to have one. */
  missing(sha256: string): boolean {
    if (!this.records.names(sha256)) return false;
    this.#tell(sha256, "its file is gone");
    return true;
  }

  /** The open file of a body is not what was staged; false where the body that is held is another one by now. */
  rotten(sha256: string, file: Deno.FsFile, reason: string): boolean {
    return this.#lost(sha256, this.bodies.setAside(sha256, file, this.options.now()), reason);
  }

  /** As {@link rotten}, for what was read from a pack. */
  rottenPacked(sha256: string, packed: Packed, reason: string): boolean {
    return this.#lost(sha256, this.bodies.setPackedAside(sha256, packed, this.options.now()), reason);
  }

  /** It was staged again. */
  healed(sha256: string): void {
    this.#told.delete(sha256);
  }

  /** What is in a folder, and what ought to be there. */
  digests(folder: string): string[] {
    return [...new Set([...this.bodies.inFolder(folder), ...this.records.named(folder, `${folder}g`)])].sort();
  }

  /** Reads a body whole, whatever its sums say; they are mended where they do not fit it. */
  async check(
    sha256: string,
    pace: (bytes: number) => Promise<void>,
  ): Promise<{ bytes: number | null; lost: boolean }> {
    const packed = await this.bodies.packs.read(sha256);
    if (packed) {
      await pace(packed.place.size);
      const fault = packedFault(sha256, packed);
      return { bytes: packed.place.size, lost: fault !== null && this.rottenPacked(sha256, packed, fault) };
    }
    if (this.bodies.size(sha256) === null) return { bytes: null, lost: this.missing(sha256) };
    using file = this.bodies.open(sha256);
    let body: Hashed;
    try {
      body = await hashPieces(paced(piecesOf(file), pace));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return { bytes: 0, lost: this.rotten(sha256, file, "the disk cannot read it") };
    }
    if (body.sha256 !== sha256) {
      return { bytes: body.size, lost: this.rotten(sha256, file, "its bytes are not those that were staged") };
    }
    if (this.bodies.size(sha256) === body.size) this.bodies.mendSums(body);
    return { bytes: body.size, lost: false };
  }

  #lost(sha256: string, isAside: boolean, reason: string): boolean {
    if (isAside) this.#tell(sha256, reason);
    return isAside;
  }

  #tell(sha256: string, reason: string): void {
    if (this.#told.has(sha256)) return;
    this.#told.add(sha256);
    this.options.log.warn("a body is lost", { sha256, reason });
    this.onLost({ sha256, reason });
  }
}

/** Why what was read is not the body that was staged; null where it is. */
export function packedFault(sha256: string, { bytes, place }: Packed): string | null {
  if (!bytes) return "the disk cannot read it";
  if (bytes.length < place.size) return "its file is too short";
  return digestCheck(sha256)(bytes, 0) ? null : "its bytes are not those that were staged";
}

async function* paced(
  pieces: AsyncIterable<Uint8Array>,
  pace: (bytes: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    yield piece;
    await pace(piece.length);
  }
}
