/** A server's id, which outlives the process: it is made once and kept in the data folder. */
import { join } from "@std/path";
import { CdnError, identifier } from "../proto/mod.ts";
import { writeWholeFile } from "../runtime/whole_file.ts";

/** A readable id that nobody else has: the machine's name and five random letters or digits. */
export function makeServerId(hostname: string, random: () => number): string {
  const name = hostname.split(".")[0]!.replaceAll(/[^A-Za-z0-9-]/g, "").replace(/^-+/, "").slice(0, 32) || "server";
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  const tail = Array.from({ length: 5 }, () => letters[Math.floor(random() * letters.length)]).join("");
  return `${name}-${tail}`;
}

/**
 * The id that the data folder keeps: `wanted`, or one from `make` where none is wanted, on the first run.
 * @throws {CdnError} (source "client") where the folder belongs to another id: versions carry it, so it must not change.
 */
export async function keepServerId(folder: string, wanted: string | null, make: () => string): Promise<string> {
  const file = join(folder, "server.json");
  const kept = await readId(file);
  if (kept === null) {
    const id = wanted ?? make();
    await Deno.mkdir(folder, { recursive: true });
    // Whole or not at all: a half-written id would be a folder without an owner.
    await writeWholeFile(file, JSON.stringify({ id }) + "\n");
    return id;
  }
  if (wanted !== null && wanted !== kept) {
    throw new CdnError(`The data folder ${folder} belongs to the server "${kept}", not to "${wanted}"`, {
      source: "client",
    });
  }
  return kept;
}

async function readId(file: string): Promise<string | null> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new CdnError(`Cannot read ${file}: ${(error as Error).message}`, { source: "client", cause: error });
  }
  try {
    const { id } = JSON.parse(text) as { id?: unknown };
    if (typeof id === "string" && identifier(id) === null) return id;
  } catch { /* said below */ }
  throw new CdnError(`${file} must be like {"id":"NAME"}`, { source: "client" });
}
