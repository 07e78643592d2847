/** The four calls of an upload session, each tried until it succeeds or cannot. */
import { createHash } from "node:crypto";
import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { CdnError, type Codec, jsonCodec, wire } from "../proto/mod.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { retrying, type RetryOptions } from "./retry.ts";

/** Whom to talk to, and how. */
export interface SessionOptions {
  /** Base URL of a content server: `http://host:port`. */
  server: string;
  /** METACDN_TOKEN of the server, if it has one. */
  token?: string | null;
  /** What we send and ask for: ProtoJSON unless told. */
  codec?: Codec;
  /** Another `fetch`, for tests. */
  fetch?: typeof fetch;
  /** How often and how soon is tried again. */
  retry?: RetryOptions;
  /** Ends the upload; what the server has stays for a later one. */
  signal?: AbortSignal | undefined;
}

/** A slow link is no dead one: a call gets a minute, and longer the more bytes go with it. */
const CALL_MS = 60_000;
/** The slowest link on which a chunk gets through, in bytes a millisecond. */
const LEAST_RATE = 16;
/** The slowest disk on which a commit gets through (it may read all of the object once more). */
const LEAST_DISK_RATE = 20_000;

/** Speaks to the `/-/v1/uploads` of one server. */
export class SessionClient {
  readonly #client: PeerClient;
  readonly #server: string;
  readonly #retry: RetryOptions;
  readonly #signal: AbortSignal | undefined;

  constructor(
    { server, token = null, codec = jsonCodec, fetch = globalThis.fetch, retry = {}, signal }: SessionOptions,
  ) {
    this.#client = new PeerClient({ token, codec, fetch, source: "server" });
    this.#server = server;
    this.#retry = { ...retry, signal };
    this.#signal = signal;
  }

  /**
   * Opens a session, or gets the open one of the same path, size and digest, or a committed one where the
   * server has the object already.
   */
  async open(request: MessageInitShape<typeof wire.CreateUploadSchema>): Promise<wire.Upload> {
    const question = create(wire.CreateUploadSchema, request);
    try {
      return await this.#ask("POST", "", CALL_MS, [wire.CreateUploadSchema, question]);
    } catch (error) {
      if (!(error instanceof CdnError) || (error.status !== 404 && error.status !== 405)) throw error;
      throw new CdnError(
        `${this.#server} takes no uploads: it is a proxy, or none of our programs; name a content server instead`,
        { source: "server", status: error.status, cause: error },
      );
    }
  }

  /** How a session stands. */
  get(id: string): Promise<wire.Upload> {
    return this.#ask("GET", `/${id}`, CALL_MS);
  }

  /** Sends one chunk; the same one may be sent again. */
  chunk(id: string, offset: number, data: Uint8Array<ArrayBuffer>): Promise<wire.Upload> {
    const question = create(wire.ChunkSchema, { data, sha256: createHash("sha256").update(data).digest("hex") });
    const timeoutMs = CALL_MS + data.length / LEAST_RATE;
    return this.#ask("PUT", `/${id}/chunks/${offset}`, timeoutMs, [wire.ChunkSchema, question]);
  }

  /** Makes the object visible. */
  commit(id: string, sha256: string, size: number): Promise<wire.Upload> {
    const question = create(wire.CommitUploadSchema, { sha256, size: BigInt(size) });
    const timeoutMs = CALL_MS + size / LEAST_DISK_RATE;
    return this.#ask("POST", `/${id}/commit`, timeoutMs, [wire.CommitUploadSchema, question]);
  }

  #ask<Question extends DescMessage>(
    method: string,
    path: string,
    timeoutMs: number,
    question?: [Question, MessageShape<Question>],
  ): Promise<wire.Upload> {
    const url = `${this.#server}/-/v1/uploads${path}`;
    const signal = this.#signal;
    return retrying(
      () =>
        this.#client.ask(url, wire.UploadSchema, {
          method,
          timeoutMs: Math.ceil(timeoutMs),
          ...(question ? { question } : {}),
          ...(signal ? { signal } : {}),
        }),
      this.#retry,
    );
  }
}
