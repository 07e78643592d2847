/** Small files that are there whole or not at all, whatever dies while they are written. */
import { dirname } from "@std/path";

/** Replaces a file: written beside it, made durable, renamed into its place. */
export async function writeWholeFile(
  path: string,
  text: string,
  { mode = 0o666 }: { mode?: number } = {},
): Promise<void> {
  const beside = `${path}.new`;
  // What a dead process left may have another mode, which opening would not change.
  await Deno.remove(beside).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  {
    using file = await Deno.open(beside, { write: true, createNew: true, mode });
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  }
  await Deno.rename(beside, path);
  if (Deno.build.os === "windows") return; // it has no folders to sync, and needs none
  using folder = await Deno.open(dirname(path), { read: true });
  await folder.sync();
}
