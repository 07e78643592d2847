/**
 * The bytes of the sessions on disk: `<id>.part`, as long as what has come, with holes where nothing has;
 * beside it `<id>.commit`, a second name of the same file, while a commit hands it to the store. The
 * first name stays until the commit is recorded, so that a kill in between loses no byte.
 */
import { join } from "@std/path";
import { ignoreMissing, syncFolder, writeAll } from "../../runtime/files.ts";
import { requireRoom, withRoom } from "../store/room.ts";
import { RunningDigest } from "./running_digest.ts";

/** The part files of one folder. For one id, one call at a time. */
export class PartFiles {
  /** Of the files that were written since the start. */
  readonly #digests = new Map<string, RunningDigest>();

  /** @param reserve bytes that are to stay free on the disk */
  constructor(readonly folder: string, readonly reserve: number) {}

  /** Makes an empty part file, and makes its name durable. A file that was there is left to its other names. */
  create(id: string): Promise<void> {
    return withRoom("begin the upload", async () => {
      await this.remove(id);
      (await Deno.open(this.#part(id), { write: true, createNew: true })).close();
      await syncFolder(this.folder);
    });
  }

  /**
   * Writes bytes at an offset; they are on disk when this resolves. They are hashed meanwhile.
   * @param solid how many bytes the file has from its start without a gap, these ones included
   */
  async write(id: string, offset: number, bytes: Uint8Array, solid: number): Promise<void> {
    requireRoom("take in the chunk", this.folder, bytes.length, this.reserve);
    const digest = this.#digest(id);
    try {
      await digest.prepare(offset, bytes);
      const written = withRoom("take in the chunk", () => writeSynced(this.#part(id), offset, bytes));
      digest.feed(offset, bytes);
      await written;
      await digest.catchUp(solid);
    } catch (error) {
      digest.reset();
      throw error;
    }
  }

  /** The digest of the whole file, which has `size` bytes. */
  digest(id: string, size: number): Promise<string> {
    return this.#digest(id).digest(size);
  }

  /** What the file has means nothing any more; it is written anew. */
  restart(id: string): void {
    this.#digests.delete(id);
  }

  /** A name of the file that the store may take away. @throws {Deno.errors.NotFound} */
  handOver(id: string): Promise<string> {
    return withRoom("commit the upload", async () => {
      const name = join(this.folder, `${id}.commit`);
      await Deno.remove(name).catch(ignoreMissing);
      await Deno.link(this.#part(id), name);
      this.restart(id);
      return name;
    });
  }

  /** Takes all names of the file away. */
  async remove(id: string): Promise<void> {
    this.restart(id);
    await Deno.remove(this.#part(id)).catch(ignoreMissing);
    await Deno.remove(join(this.folder, `${id}.commit`)).catch(ignoreMissing);
  }

  /** Takes away what a killed process left that belongs to no session. */
  async clear(belongs: (id: string) => boolean): Promise<void> {
    for await (const { name } of Deno.readDir(this.folder)) {
      const id = /^([A-Za-z0-9_-]{1,64})\.(part|commit)$/.exec(name)?.[1];
      if (id !== undefined && !belongs(id)) await Deno.remove(join(this.folder, name)).catch(ignoreMissing);
    }
  }

  #part(id: string): string {
    return join(this.folder, `${id}.part`);
  }

  #digest(id: string): RunningDigest {
    let digest = this.#digests.get(id);
    if (!digest) this.#digests.set(id, digest = new RunningDigest(this.#part(id)));
    return digest;
  }
}

/** Writes bytes into a file that is there; they are on disk when this resolves. */
async function writeSynced(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
  await writeAll(file, bytes);
  await file.syncData();
}
