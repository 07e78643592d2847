/**
 * The published folder as it stands on disk. Names are relative to it (`a/b.jpg`; the folder itself is ""), as UTF-8.
 * What may be published of it: regular files, and symbolic links to regular files inside; nothing whose name, or a
 * folder's on the way, begins with a dot; nothing through a link to a folder, which would be there twice.
 */
import { dirname, join } from "@std/path";
import { words } from "../../runtime/words.ts";

/** One look at a regular file: equal looks mean the same content. */
export interface Look {
  /** In bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  /** Another one means another file under the same name; empty where the system has none. */
  readonly inode: string;
}

/** What a name stands for. */
export type Found =
  /** `device`: the disk that the folder around it is on. */
  | { readonly kind: "file"; readonly look: Look; readonly device: string }
  | { readonly kind: "folder" }
  /** There, and not to be published. */
  | { readonly kind: "passed over"; readonly reason: string }
  /** Not there; `device` is the disk of the nearest folder above that is left. */
  | { readonly kind: "gone"; readonly device: string };

/** A name and what it stands for. */
export interface Entry {
  readonly name: string;
  /** No folder, and not gone: a walk passes over what goes while it walks. */
  readonly found: Found | { readonly kind: "unreadable"; readonly reason: string };
}

/** An open file, and what it was when it was opened. */
export interface OpenFile extends Disposable {
  readonly file: Deno.FsFile;
  readonly look: Look;
}

/** True where nothing tells two looks apart. */
export function sameLook(a: Look, b: Look): boolean {
  return a.size === b.size && a.modifiedMs === b.modifiedMs && a.inode === b.inode;
}

/** A look at an open file. */
export async function lookAt(file: Deno.FsFile): Promise<Look> {
  return lookOf(await file.stat());
}

/** The folder that is at a path now. */
export class PublishedFolder {
  /** @param root its real path */
  private constructor(readonly root: string, readonly identity: string) {}

  /** @throws what the system says, where it is no folder that we may read. */
  static async at(path: string): Promise<PublishedFolder> {
    const root = await Deno.realPath(path);
    const info = await Deno.stat(root);
    if (!info.isDirectory) throw new Deno.errors.NotADirectory(`${path} is no folder`);
    return new PublishedFolder(root, `${root}:${info.dev}:${info.ino}`);
  }

  /** Any name that is not hidden; null where there is none, as in the place of a disk that is not mounted. */
  async anyName(): Promise<string | null> {
    for await (const { name } of Deno.readDir(this.root)) if (!isHidden(name)) return name;
    return null;
  }

  /** What a name stands for. @throws what the system says, where it cannot tell. */
  async find(name: string): Promise<Found> {
    if (name.split("/").some(isHidden)) return { kind: "passed over", reason: "its name begins with a dot" };
    const parent = dirname(join(this.root, name));
    try {
      if (name !== "" && await Deno.realPath(parent) !== parent) return linkedFolder;
      return await this.#findIn(name, deviceOf(await Deno.stat(name === "" ? this.root : parent)));
    } catch (error) {
      if (isGone(error)) return { kind: "gone", device: await this.#deviceAbove(name) };
      throw error;
    }
  }

  /** All that is below a name, folders apart, in the order of names. */
  async *walk(below = ""): AsyncGenerator<Entry> {
    const folder = join(this.root, below);
    const entries: string[] = [];
    let device: string;
    try {
      device = deviceOf(await Deno.stat(folder));
      for await (const { name } of Deno.readDir(folder)) entries.push(name);
    } catch (error) {
      if (!isGone(error)) yield { name: below, found: { kind: "unreadable", reason: words(error) } };
      return;
    }
    for (const entry of entries.sort()) {
      const name = below === "" ? entry : `${below}/${entry}`;
      try {
        const found: Found = isHidden(entry) ? await this.find(name) : await this.#findIn(name, device);
        if (found.kind === "folder") yield* this.walk(name);
        else yield { name, found };
      } catch (error) {
        if (!isGone(error)) yield { name, found: { kind: "unreadable", reason: words(error) } };
        // A name that is not UTF-8 is told with U+FFFD in it, and nothing is there under that.
        else if (entry.includes("\ufffd")) {
          yield { name, found: { kind: "passed over", reason: "its name is not UTF-8" } };
        }
      }
    }
  }

  /**
   * Opens a regular file. Whoever may write to the folder may put a link in a name's place at any moment: what is
   * opened is what the name stands for inside the folder, or nothing.
   * @throws what the system says; NotFound where it leads out of the folder by now.
   */
  async open(name: string): Promise<OpenFile> {
    const path = join(this.root, name);
    const file = await Deno.open(path);
    try {
      const opened = await file.stat();
      const real = await Deno.realPath(path);
      const inside = this.#isInside(real) ? await Deno.stat(real) : null;
      if (!opened.isFile || inside?.ino !== opened.ino || inside.dev !== opened.dev) {
        throw new Deno.errors.NotFound(`${name} was replaced while it was opened`);
      }
      return { file, look: lookOf(opened), [Symbol.dispose]: () => file.close() };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** What stands below a parent that is no link. */
  async #findIn(name: string, device: string): Promise<Found> {
    const path = join(this.root, name);
    let info = await Deno.lstat(path);
    if (info.isSymlink) {
      try {
        if (!this.#isInside(await Deno.realPath(path))) {
          return { kind: "passed over", reason: "the link leads out of the folder" };
        }
        info = await Deno.stat(path);
      } catch (error) {
        if (isGone(error)) return { kind: "passed over", reason: "the link leads nowhere" };
        throw error;
      }
      if (info.isDirectory) return linkedFolder;
    }
    if (info.isDirectory) return { kind: "folder" };
    if (!info.isFile) return { kind: "passed over", reason: "it is neither a file nor a folder" };
    return { kind: "file", look: lookOf(info), device };
  }

  async #deviceAbove(name: string): Promise<string> {
    for (let above = dirname(name);; above = dirname(above)) {
      const atRoot = above === "." || above === "";
      try {
        const info = await Deno.stat(atRoot ? this.root : join(this.root, above));
        if (info.isDirectory) return deviceOf(info);
      } catch (error) {
        if (atRoot || !isGone(error)) throw error;
      }
    }
  }

  #isInside(real: string): boolean {
    return real.startsWith(this.root.endsWith("/") ? this.root : `${this.root}/`);
  }
}

const linkedFolder: Found = {
  kind: "passed over",
  reason: "it is, or is behind, a link to a folder (folders are published under their own name)",
};

function isHidden(name: string): boolean {
  return name.startsWith(".");
}

function deviceOf({ dev }: Deno.FileInfo): string {
  return String(dev);
}

function lookOf({ size, mtime, ino }: Deno.FileInfo): Look {
  return { size, modifiedMs: mtime?.getTime() ?? 0, inode: ino === null ? "" : String(ino) };
}

/** Nothing is there, or what should be a folder on the way is none. */
function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}
