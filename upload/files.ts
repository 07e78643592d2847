/** Which files the words of a command line mean, and which path each gets. */
import { basename, join } from "@std/path";
import { pathFault } from "../proto/mod.ts";
import { why } from "./source.ts";

/** One file to upload. */
export interface FileTarget {
  /** Its path on this machine; `-` is standard input. */
  file: string;
  /** Its object path on the server. */
  path: string;
}

/** What was found beside the files. */
export interface FileNotes {
  /** Told of what is left out on purpose: the upload goes on and counts as whole. */
  onSkip(file: string, reason: string): void;
  /** Told of what cannot be uploaded: the others go on. */
  onFail(file: string, reason: string): void;
}

/**
 * The files that `args` name, folders with all that is in them, each with its path on the server.
 *
 * Without `as`, a file goes to `/NAME` and a folder to `/NAME/…`. With `as` it goes to that path, or into it
 * where it ends with "/"; one folder's contents go right below `as`.
 */
export async function* listFiles(
  args: readonly string[],
  as: string | null,
  notes: FileNotes,
): AsyncGenerator<FileTarget> {
  const into = as === null ? "/" : as;
  const taken = new Map<string, string>();
  const single = args.length === 1;
  for (const arg of args) {
    for await (const target of targets(arg, into, as !== null && single, notes)) {
      const fault = pathFault(target.path);
      const other = taken.get(target.path);
      if (fault) notes.onFail(target.file, `its path on the server, ${target.path}, ${fault}`);
      else if (other) notes.onFail(target.file, `${target.path} is already the path of ${other}`);
      else {
        taken.set(target.path, target.file);
        yield target;
      }
    }
  }
}

async function* targets(arg: string, into: string, placed: boolean, notes: FileNotes): AsyncGenerator<FileTarget> {
  if (arg === "-") {
    yield { file: arg, path: into };
    return;
  }
  let info: Deno.FileInfo;
  let name: string;
  try {
    info = await Deno.stat(arg);
    name = basename(arg);
    if (["", ".", "..", "/"].includes(name)) name = basename(await Deno.realPath(arg));
  } catch (error) {
    notes.onFail(arg, why(error));
    return;
  }
  if (info.isFile) yield { file: arg, path: into.endsWith("/") ? into + name : into };
  else if (info.isDirectory) {
    const folder = into.endsWith("/") ? into : `${into}/`;
    yield* walk(arg, placed ? folder : `${folder}${name}/`, await Deno.realPath(arg), notes);
  } else notes.onFail(arg, "it is neither a file nor a folder");
}

/** The files of a folder in the order of their names, deeper ones in their place. */
async function* walk(folder: string, prefix: string, root: string, notes: FileNotes): AsyncGenerator<FileTarget> {
  const entries: Deno.DirEntry[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) entries.push(entry);
  } catch (error) {
    notes.onFail(folder, why(error));
    return;
  }
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    const file = join(folder, entry.name);
    const path = prefix + entry.name;
    if (entry.isSymlink) {
      const reason = await refusedLink(file, root);
      if (reason) notes.onSkip(file, reason);
      else yield { file, path };
    } else if (entry.isDirectory) yield* walk(file, `${path}/`, root, notes);
    else if (entry.isFile) yield { file, path };
    else notes.onSkip(file, "it is neither a file nor a folder");
  }
}

/** Why a symbolic link is left out, or null where it names a file inside the folder. */
async function refusedLink(link: string, root: string): Promise<string | null> {
  try {
    const target = await Deno.realPath(link);
    if (!target.startsWith(root.endsWith("/") ? root : `${root}/`)) return "the link leaves the folder";
    return (await Deno.stat(target)).isFile ? null : "the link is to no file (folders go up under their own name)";
  } catch {
    return "the link leads nowhere";
  }
}
