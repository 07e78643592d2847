/** The ways in which content gets to a server: a plain PUT, an upload session, a DELETE. Each tells what came of it. */
import { formatDigestField, jsonCodec, wire } from "../../../proto/mod.ts";
import { create } from "@bufbuild/protobuf";
import { sha256 } from "../../../runtime/signature.ts";
import type { Node } from "./node.ts";

/** Of an answer that was read to its end. */
export interface Answered {
  status: number;
  headers: Headers;
  text: string;
}

/** Asks, and reads the answer. */
export async function ask(node: Node, path: string, init: RequestInit = {}): Promise<Answered> {
  const answer = await node.fetch(path, init);
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** A plain PUT. */
export function put(node: Node, path: string, bytes: Uint8Array<ArrayBuffer>): Promise<Answered> {
  return ask(node, path, { method: "PUT", body: bytes });
}

/** A DELETE. */
export function remove(node: Node, path: string): Promise<Answered> {
  return ask(node, path, { method: "DELETE" });
}

/** An upload session at one server. */
export class Session {
  private constructor(
    readonly node: Node,
    readonly id: string,
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly opened: wire.Upload,
  ) {}

  /** Opens it, or finds it again. @throws where that is refused. */
  static async open(node: Node, path: string, bytes: Uint8Array<ArrayBuffer>): Promise<Session> {
    const question = create(wire.CreateUploadSchema, { path, size: BigInt(bytes.length), sha256: sha256(bytes) });
    const answer = await ask(node, "/-/v1/uploads", message(jsonCodec.encode(wire.CreateUploadSchema, question)));
    if (answer.status !== 201) throw new Refused("open a session", answer);
    const upload = jsonCodec.decode(wire.UploadSchema, new TextEncoder().encode(answer.text));
    return new Session(node, upload.id, bytes, upload);
  }

  /** Sends all chunks. @throws where one is refused. */
  async send(chunkSize: number): Promise<void> {
    for (let at = 0; at < this.bytes.length; at += chunkSize) {
      const data = this.bytes.subarray(at, at + chunkSize);
      const answer = await ask(this.node, `/-/v1/uploads/${this.id}/chunks/${at}`, {
        method: "PUT",
        headers: {
          "content-type": "application/octet-stream",
          "content-digest": formatDigestField(sha256(data)),
        },
        body: data,
      });
      if (answer.status !== 200) throw new Refused("send a chunk", answer);
    }
  }

  /** Commits; may be asked again. */
  commit(): Promise<Answered> {
    const question = create(wire.CommitUploadSchema, { sha256: sha256(this.bytes), size: BigInt(this.bytes.length) });
    const body = jsonCodec.encode(wire.CommitUploadSchema, question);
    return ask(this.node, `/-/v1/uploads/${this.id}/commit`, message(body));
  }
}

/** A server said no. */
export class Refused extends Error {
  constructor(what: string, readonly answer: Answered) {
    super(`cannot ${what}: ${answer.status} ${answer.text}`);
  }
}

function message(body: Uint8Array<ArrayBuffer>): RequestInit {
  return { method: "POST", headers: { "content-type": jsonCodec.mediaType }, body };
}
