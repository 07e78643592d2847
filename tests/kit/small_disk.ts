/** A disk that a test can fill: a tmpfs of a few megabytes, which only root may mount. */
import { tempDir } from "./temp_dir.ts";

/** Why there can be none here; null where there can. */
export const noSmallDisk: string | null = Deno.build.os === "linux" && Deno.uid() === 0
  ? null
  : "only root on Linux may mount a small disk";

/** Gives a folder on a disk of its own of `size` (such as `4m`). */
export async function onSmallDisk(size: string, work: (folder: string) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", dir.path);
  try {
    await work(dir.path);
  } finally {
    await run("umount", dir.path);
  }
}

/** Takes what room there is left, to the last byte. */
export async function fillDisk(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, append: true });
  for (let size = 65_536; size >= 1;) {
    try {
      await file.write(new Uint8Array(size));
    } catch {
      size >>= 1;
    }
  }
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
