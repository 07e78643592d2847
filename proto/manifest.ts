/**
 * A manifest: all that is known of one version of one object, but its bytes.
 * In the program sizes and times are numbers; on the wire (object.proto) they are 64-bit integers.
 */
import { create } from "@bufbuild/protobuf";
import {
  type Manifest as WireManifest,
  ManifestSchema,
  type Version as WireVersion,
  VersionSchema,
} from "./gen/metacdn/v1/object_pb.ts";
import type { Version } from "./version.ts";

/** What an uploader says of an object. */
export interface Metadata {
  /** RFC 9110 §8.3.1, such as `image/jpeg`. */
  mediaType: string;
  /** The original file name; may be empty. */
  name: string;
  /** The file's modification time in milliseconds since 1970; 0 where unknown. */
  modifiedMs: number;
  /** The uploader's own pairs: at most 64. */
  meta: Record<string, string>;
}

/** One version of one object. A tombstone (`deleted`) has size 0 and an empty digest. */
export interface Manifest extends Metadata {
  /** Its key: see `path.ts`. */
  path: string;
  /** Which write it is. */
  version: Version;
  /** True for a tombstone. */
  deleted: boolean;
  /** SHA-256 as hexadecimal. */
  sha256: string;
  /** In bytes. */
  size: number;
  /** The signature of whoever wrote it, as base64 of 64 bytes; absent where it is unsigned. A tombstone may have one too. */
  signature?: string;
}

/** To the wire's shape. */
export function manifestToWire(manifest: Manifest): WireManifest {
  const { version, signature, ...rest } = manifest;
  return create(ManifestSchema, {
    ...rest,
    size: BigInt(manifest.size),
    modifiedMs: BigInt(manifest.modifiedMs),
    version: versionToWire(version),
    ...(signature && { signature: Uint8Array.fromBase64(signature) }),
  });
}

/** From the wire's shape, which a codec has checked already. */
export function manifestFromWire(wire: WireManifest): Manifest {
  return {
    path: wire.path,
    version: versionFromWire(wire.version),
    deleted: wire.deleted,
    sha256: wire.sha256,
    size: Number(wire.size),
    mediaType: wire.mediaType,
    name: wire.name,
    modifiedMs: Number(wire.modifiedMs),
    meta: { ...wire.meta },
    ...(wire.signature.length > 0 && { signature: wire.signature.toBase64() }),
  };
}

/** A stamp to the wire's shape. */
export function versionToWire({ wallMs, counter, server }: Version): WireVersion {
  return create(VersionSchema, { wallMs: BigInt(wallMs), counter, server });
}

/** From the wire's shape; an absent one is older than any. */
export function versionFromWire(wire: WireVersion | undefined): Version {
  const { wallMs = 0n, counter = 0, server = "" } = wire ?? {};
  return { wallMs: Number(wallMs), counter, server };
}

/** A tombstone for a path. */
export function tombstone(path: string, version: Version): Manifest {
  return { path, version, deleted: true, sha256: "", size: 0, mediaType: "", name: "", modifiedMs: 0, meta: {} };
}
