/** Sessions as messages, and what a message asks for as a session. */
import { create } from "@bufbuild/protobuf";
import { badRequest, manifestToWire, wire } from "../../proto/mod.ts";
import { mediaTypeOf } from "../media_type.ts";
import { describeRanges } from "./ranges.ts";
import type { Session } from "./session_table.ts";

/** How a session stands, as clients are told. */
export function uploadToWire(session: Session, chunkSize: number): wire.Upload {
  const { id, path, size, state, received, expiresMs, object, copies } = session;
  const whole = state === "open" ? received : size ? [{ start: 0, end: size }] : [];
  return create(wire.UploadSchema, {
    id,
    path,
    state: state === "committed" ? wire.Upload_State.COMMITTED : wire.Upload_State.OPEN,
    ...(size === null ? {} : { size: BigInt(size) }),
    chunkSize,
    received: whole.map(({ start, end }) => create(wire.ByteRangeSchema, { start: BigInt(start), end: BigInt(end) })),
    expiresMs: BigInt(expiresMs),
    ...(object ? { object: manifestToWire(object) } : {}),
    copies,
  });
}

/** What a client asks for, as a session without an id yet. */
export function sessionOfRequest(request: wire.CreateUpload): Omit<Session, "id" | "expiresMs"> {
  const { path, size, sha256, mediaType, name, modifiedMs, meta } = request;
  return {
    path,
    size: size === undefined ? null : Number(size),
    sha256,
    metadata: {
      mediaType: mediaType || mediaTypeOf(path, name),
      name,
      modifiedMs: Number(modifiedMs),
      meta: { ...meta },
    },
    state: "open",
    received: [],
    object: null,
    copies: 0,
  };
}

/** The 409 of a commit before all bytes came: says which are missing. */
export function incomplete(missing: { start: number; end: number }[], why = ""): Error {
  const count = missing.reduce((sum, { start, end }) => sum + end - start, 0);
  return badRequest(
    `Cannot commit the upload: ${why}${count} bytes are missing (${describeRanges(missing)})`,
    { status: 409, retry: true },
  );
}
