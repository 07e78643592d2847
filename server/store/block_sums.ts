/**
 * What tells rot in a body: the CRC-32 (RFC 1952 §8) of each block of 256 KiB. They are kept beside the body,
 * and check themselves, so that their own rot is not taken for the body's:
 *
 *     size of the body   8 bytes, little-endian as all here
 *     CRC of each block  4 bytes each
 *     CRC of the above   4 bytes
 */
import { hash } from "node:crypto";
import { crc32 } from "node:zlib";

/** Bytes of a block; the last one of a body may be shorter. */
export const BLOCK_BYTES = 256 * 1024;

/** Bodies of at most this many bytes need no sums: hashing one takes as long as opening it (15 µs). */
export const WITHOUT_SUMS_BYTES = 16 * 1024;

/** The sums of a body; a new one to be filled by {@link add}. */
export class BlockSums {
  /** Bytes so far. */
  size = 0;
  readonly #sums: number[] = [];

  /** Takes the next bytes, in pieces of any size. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const inBlock = this.size % BLOCK_BYTES;
      const part = bytes.subarray(at, at + BLOCK_BYTES - inBlock);
      const before = inBlock === 0 ? 0 : this.#sums.pop()!;
      this.#sums.push(crc32(part, before));
      this.size += part.length;
      at += part.length;
    }
  }

  /** True where `block` is the one with this number. */
  fits(block: Uint8Array, number: number): boolean {
    return crc32(block) === this.#sums[number];
  }

  /** True where both are of the same bytes, as far as sums can tell. */
  equals(other: BlockSums): boolean {
    return this.size === other.size && this.#sums.every((sum, at) => sum === other.#sums[at]);
  }

  /** As a file. */
  encode(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(12 + 4 * this.#sums.length);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(this.size), true);
    this.#sums.forEach((sum, at) => view.setUint32(8 + 4 * at, sum, true));
    view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    return bytes;
  }

  /** From a file; null where that is torn or rotten. */
  static decode(bytes: Uint8Array): BlockSums | null {
    if (bytes.length < 12 || bytes.length % 4 !== 0) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (view.getUint32(bytes.length - 4, true) !== crc32(bytes.subarray(0, -4))) return null;
    const sums = new BlockSums();
    sums.size = Number(view.getBigUint64(0, true));
    for (let at = 8; at < bytes.length - 4; at += 4) sums.#sums.push(view.getUint32(at, true));
    return sums.#sums.length === Math.ceil(sums.size / BLOCK_BYTES) ? sums : null;
  }
}

/** True where `block` is what was staged as the block with this number. */
export type BlockCheck = (block: Uint8Array, number: number) => boolean;

/** The check of a body that is one small block: its digest. */
export function digestCheck(sha256: string): BlockCheck {
  return (block) => hash("sha256", block) === sha256;
}
