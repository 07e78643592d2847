/** A data folder that cannot be used: what was opened of it is closed again. */
import { assertEquals, assertRejects } from "@std/assert";
import { dirname, join } from "@std/path";
import { openServer } from "../../server/mod.ts";
import { tempDir } from "../kit/mod.ts";

const identity = { id: "a", provider: "local", region: "local", role: "origin", labels: {} } as const;

/** What is in the way, by the path in the folder that it takes. */
const inTheWay: Record<string, (path: string) => Promise<void>> = {
  "server.key": (path) => Deno.mkdir(path),
  "nonces": (path) => Deno.mkdir(path),
  "cluster/partial": (path) => Deno.writeTextFile(path, "a file"),
};

for (const [path, put] of Object.entries(inTheWay)) {
  Deno.test(`a server that cannot open its ${path} leaves its data folder free`, async () => {
    await using dir = await tempDir();
    const data = join(dir.path, "data");
    const obstacle = join(data, path);
    await Deno.mkdir(dirname(obstacle), { recursive: true });
    await put(obstacle);
    await assertRejects(() => openServer({ identity, data }), Error, path);
    await Deno.remove(obstacle);
    await using server = await openServer({ identity, data });
    assertEquals(server.identity.id, "a");
  });
}
