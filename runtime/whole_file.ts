/** Small files that are there whole or not at all, whatever dies while they are written. */
import { dirname } from "@std/path";
import { ignoreMissing, syncFolder, writeAll } from "./files.ts";

/** Replaces a file: written beside it, made durable, renamed into its place. */
export async function writeWholeFile(
  path: string,
  text: string,
  { mode = 0o666 }: { mode?: number } = {},
): Promise<void> {
  const beside = `${path}.new`;
  // What a dead process left may have another mode, which opening would not change.
  await Deno.remove(beside).catch(ignoreMissing);
  {
    using file = await Deno.open(beside, { write: true, createNew: true, mode });
    await writeAll(file, new TextEncoder().encode(text));
    await file.sync();
  }
  await Deno.rename(beside, path);
  await syncFolder(dirname(path));
}
