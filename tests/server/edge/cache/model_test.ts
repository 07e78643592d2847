import { createMemoryCache } from "../../../../server/edge/cache/mod.ts";
import { checkCacheAgainstModel } from "../../../suite/cache_model.ts";
import { tempDir } from "../../../kit/mod.ts";
import { open } from "./kit.ts";

for (const diskBytes of [1 << 30, 2 << 20]) {
  Deno.test(`cache on disk of ${diskBytes >> 20} MiB: random histories agree with the model`, async () => {
    await using dir = await tempDir();
    let count = 0;
    await checkCacheAgainstModel({
      runs: 15,
      steps: 60,
      open: (again) => open(`${dir.path}/${again ? count : ++count}`, { diskBytes, memoryBytes: 4 << 20 }),
    });
  });
}

Deno.test("cache in memory: random histories agree with the model", () =>
  checkCacheAgainstModel({
    runs: 15,
    steps: 60,
    open: () => Promise.resolve(createMemoryCache({ memoryBytes: 4 << 20 })),
  }));
