/** The upload sessions of a server. The states of a session stand in `session_table.ts`. */
import { isDeepStrictEqual } from "node:util";
import { join } from "@std/path";
import { badRequest, CdnError, type Manifest, type Metadata, type wire } from "../../proto/mod.ts";
import { type Logger, silentLogger } from "../../runtime/log.ts";
import { KeyedLock } from "../keyed_lock.ts";
import { bodySize, type StagedBody, type Store } from "../store/store.ts";
import { Buffers } from "./buffers.ts";
import { readChunk, requireChunkSize } from "./chunk.ts";
import {
  checkUploadLimits,
  defaultUploadLimits,
  requireInside,
  requireObjectSize,
  requireRoomFor,
  requireSame,
  type UploadLimits,
} from "./limits.ts";
import { PartFiles } from "./part_files.ts";
import { addRange, missingRanges } from "./ranges.ts";
import { openSessionTable, type Session, type SessionTable } from "./session_table.ts";
import { incomplete, sessionOfRequest, uploadToWire } from "./upload_message.ts";
import type { Uploads } from "./uploads.ts";

/** What {@link createUploads} works with. */
export interface UploadsOptions {
  /** Where the sessions are kept; made where it is missing. Best on the disk that the store is on. */
  folder: string;
  /** Where committed bytes go. */
  store: Pick<Store, "stage" | "open">;
  /** The server's one entry for local writes. */
  write: (path: string, body: StagedBody, metadata: Metadata) => Promise<{ manifest: Manifest; copies: number }>;
  /** Resolves with the number of copies once a write may be acknowledged; rejects (503) where they are not in time. */
  secure?: (manifest: Manifest) => Promise<number>;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Hears of sessions that were forgotten. */
  log?: Logger;
  /** Those that are not the default. */
  limits?: Partial<UploadLimits>;
  /** Names a new session: 1 to 64 letters, digits, "-" or "_". */
  newId?: () => string;
}

/**
 * Opens the sessions kept in `folder`, with all that was acknowledged before the process ended.
 * @throws {CdnError} where another process has them open; {@link RangeError} for limits that cannot work.
 */
export async function createUploads({
  folder,
  store,
  write,
  secure = () => Promise.resolve(1),
  now = Date.now,
  log = silentLogger,
  limits: givenLimits = {},
  newId = () => crypto.randomUUID(),
}: UploadsOptions): Promise<Uploads> {
  const limits = checkUploadLimits({ ...defaultUploadLimits, ...givenLimits });
  await Deno.mkdir(folder, { recursive: true });
  const table = await openSessionTable(join(folder, "sessions.sqlite"));
  try {
    const parts = new PartFiles(folder, limits.minFreeBytes);
    await parts.clear((id) => table.get(id) !== null);
    return new OpenUploads({ store, write, secure, now, log, newId, limits, table, parts });
  } catch (error) {
    table[Symbol.dispose]();
    throw error;
  }
}

interface Inside extends Required<Omit<UploadsOptions, "folder" | "limits">> {
  limits: UploadLimits;
  table: SessionTable;
  parts: PartFiles;
}

/** How often sessions that expired are looked for, in milliseconds. */
const EXPIRY_INTERVAL_MS = 60_000;

class OpenUploads implements Uploads {
  /** One change at a time to each session; under "" to the list of them. */
  readonly #lock = new KeyedLock();
  readonly #running = new Set<Promise<unknown>>();
  readonly #buffers: Buffers;
  readonly #timer: ReturnType<typeof setInterval>;
  #closed = false;

  constructor(readonly at: Inside) {
    const { chunkSize, bufferSize } = at.limits;
    this.#buffers = new Buffers(Math.max(1, Math.floor(bufferSize / chunkSize)), chunkSize);
    this.#timer = setInterval(() => {
      this.#expire().catch((error) => at.log.error("cannot forget expired uploads", { error }));
    }, EXPIRY_INTERVAL_MS);
    Deno.unrefTimer(this.#timer);
  }

  async create(request: wire.CreateUpload): Promise<wire.Upload> {
    const { limits, table, parts } = this.at;
    const wanted = sessionOfRequest(request);
    requireObjectSize(wanted.size ?? 0, limits);
    await this.#expire();
    return await this.#exclusive("", async () => {
      const { path, size, sha256, metadata } = wanted;
      const known = sha256 !== "" && size !== null;
      const same = known ? table.find(path, size, sha256) : null;
      const resumed = same && await this.#exclusive(same.id, () => this.#handBack(same.id, metadata));
      if (resumed) return resumed;
      requireRoomFor({ sessions: 1, bytes: size ?? 0 }, table.underWay(), limits);
      const held = known && await this.#isHeld(sha256, size);
      const session: Session = {
        ...wanted,
        id: this.at.newId(),
        state: held ? "held" : "open",
        expiresMs: this.at.now() + limits.idleMs,
      };
      if (!held) await parts.create(session.id);
      return this.#save(session);
    });
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async get(id: string): Promise<wire.Upload> {
    return this.#message(this.#require(id));
  }

  async chunk(
    id: string,
    offset: number,
    data: AsyncIterable<Uint8Array>,
    check: { sha256: string; size: number | null },
  ): Promise<wire.Upload> {
    requireChunkSize(check.size, this.at.limits.chunkSize);
    requireInside(this.#require(id), offset, check.size ?? 1, this.at.limits);
    using buffer = await this.#buffers.acquire();
    const bytes = await readChunk(data, check, buffer.bytes);
    return await this.#exclusive(id, async () => {
      const session = this.#require(id);
      requireInside(session, offset, bytes.length, this.at.limits);
      // All bytes are here already; those of this chunk are right, or the commit says that they are not.
      if (session.state !== "open") return this.#message(session);
      return await this.#add(session, offset, bytes);
    });
  }

  async cancel(id: string): Promise<void> {
    this.#require(id);
    await this.#exclusive(id, () => {
      this.#require(id);
      return this.#forget(id);
    });
  }

  async commit(id: string, request: wire.CommitUpload): Promise<wire.Upload> {
    const wanted = { sha256: request.sha256, size: Number(request.size) };
    this.#require(id);
    return await this.#exclusive(id, async () => {
      let session = this.#require(id);
      requireSame(session, wanted);
      if (session.state === "committed") return this.#message(session);
      if (session.state === "open") session = await this.#seal(session, wanted);
      if (session.state !== "stored") session = await this.#publish(session, wanted);
      return await this.#secure(session);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.allSettled(this.#running);
    this.at.table[Symbol.dispose]();
  }

  /** A session that is handed back takes the newer request's metadata. Null where it has gone meanwhile. */
  // deno-lint-ignore require-await -- it runs under the lock
  async #handBack(id: string, metadata: Metadata): Promise<wire.Upload | null> {
    const session = this.at.table.get(id);
    if (!session || session.state === "committed") return session && this.#message(session);
    const expiresMs = this.at.now() + this.at.limits.idleMs;
    // What was stored has the older metadata: its bytes are here, and are written once more.
    const again = session.state === "stored" && !isDeepStrictEqual(session.metadata, metadata);
    return this.#save({ ...session, metadata, expiresMs, ...(again && { state: "held", object: null }) });
  }

  /** Writes a chunk and records it: only then does it count. */
  async #add(session: Session, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<wire.Upload> {
    const { limits, parts, now } = this.at;
    const received = addRange(session.received, { start: offset, end: offset + bytes.length });
    if (received.length > limits.maxRanges) {
      throw badRequest(
        `The upload has ${session.received.length} pieces with gaps between them: send what is missing first`,
        { status: 409 },
      );
    }
    if (session.size === null) {
      const bytes = received.at(-1)!.end - (session.received.at(-1)?.end ?? 0);
      requireRoomFor({ sessions: 0, bytes }, this.at.table.underWay(), limits);
    }
    const first = received[0]!;
    await parts.write(session.id, offset, bytes, first.start === 0 ? first.end : 0);
    return this.#save({ ...session, received, expiresMs: now() + limits.idleMs });
  }

  /** Finds that all bytes are here, and that they are the right ones. From here on the part file rests. */
  async #seal(session: Session, wanted: StagedBody): Promise<Session> {
    const { table, parts, now, limits } = this.at;
    const beyond = session.received.at(-1)?.end ?? 0;
    if (beyond > wanted.size) {
      throw badRequest(`Cannot commit the upload with ${wanted.size} bytes: it has ${beyond} already`, { status: 409 });
    }
    const missing = missingRanges(session.received, wanted.size);
    if (missing.length > 0) throw incomplete(missing);
    const found = await parts.digest(session.id, wanted.size);
    if (found !== wanted.sha256) {
      // Nobody knows which of them are wrong.
      table.set({ ...session, received: [] });
      parts.restart(session.id);
      throw badRequest(
        `Cannot commit the upload: its bytes have the digest ${found}, not ${wanted.sha256}; send all of them again`,
        { status: 422 },
      );
    }
    const sealed: Session = { ...session, ...wanted, state: "sealed", received: [], expiresMs: now() + limits.idleMs };
    table.set(sealed);
    return sealed;
  }

  /** Hands the bytes to the store, and makes the object visible. After a failure it can be tried again. */
  async #publish(session: Session, body: StagedBody): Promise<Session> {
    const { store, table, parts, write, now, limits } = this.at;
    try {
      if (session.state === "sealed") {
        await store.stage({ file: await parts.handOver(session.id), hashed: body }, body);
      }
      const { manifest, copies } = await write(session.path, body, session.metadata);
      const expiresMs = now() + limits.idleMs;
      const stored: Session = { ...session, state: "stored", object: manifest, copies, expiresMs };
      table.set(stored);
      await parts.remove(session.id);
      return stored;
    } catch (error) {
      // The store freed the body that it held when the session began, or someone took our file away.
      const lost = session.state === "held"
        ? error instanceof CdnError && error.status === 409
        : error instanceof Deno.errors.NotFound;
      if (!lost) throw error;
      await parts.create(session.id);
      table.set({ ...session, state: "open", received: [] });
      throw incomplete(missingRanges([], body.size), "its bytes are not here any more: ");
    }
  }

  /** Waits until enough servers hold it. Where they do not in time, the session stays: a retry only waits again. */
  async #secure(session: Session): Promise<wire.Upload> {
    const { secure, now, limits } = this.at;
    const copies = await secure(session.object!);
    return this.#save({ ...session, state: "committed", copies, expiresMs: now() + limits.rememberMs });
  }

  async #isHeld(sha256: string, size: number): Promise<boolean> {
    const held = await bodySize(this.at.store, sha256);
    if (held === null || held === size) return held !== null;
    throw badRequest(`The upload's size must be that of the bytes with the digest ${sha256}, and is not`);
  }

  async #expire(): Promise<void> {
    for (const id of this.at.table.expired(this.at.now())) {
      await this.#exclusive(id, async () => {
        const session = this.at.table.get(id);
        if (!session || session.expiresMs > this.at.now()) return;
        if (session.state !== "committed") this.at.log.info("forgot an idle upload", { id, path: session.path });
        await this.#forget(id);
      });
    }
  }

  async #forget(id: string): Promise<void> {
    this.at.table.remove(id);
    await this.at.parts.remove(id);
  }

  #exclusive<T>(id: string, work: () => Promise<T>): Promise<T> {
    const done = this.#lock.run(id, () => {
      if (!this.#closed) return work();
      throw new CdnError("The server is stopping", { source: "server", status: 503, retry: true });
    });
    const settled = done.then(() => {}, () => {}).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    return done;
  }

  #save(session: Session): wire.Upload {
    this.at.table.set(session);
    return this.#message(session);
  }

  #message(session: Session): wire.Upload {
    return uploadToWire(session, this.at.limits.chunkSize);
  }

  #require(id: string): Session {
    const session = this.at.table.get(id);
    if (session && session.expiresMs > this.at.now()) return session;
    throw badRequest("There is no such upload: it was never begun, was cancelled, or has expired", { status: 404 });
  }
}
