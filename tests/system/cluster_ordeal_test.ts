/** Servers are killed and emptied while others write and read: nothing acknowledged is lost. More: `deno task ordeal`. */
import { type Loss, ordeal } from "./cluster/ordeal.ts";

for (const loss of ["keys", "same-id", "new-id"] satisfies Loss[]) {
  Deno.test(`five servers, one killed at a time, one emptied (${loss}): nothing acknowledged is lost`, async () => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
    console.log(`seed ${seed}; again: deno task ordeal --seed ${seed} --loss ${loss}`);
    console.log(await ordeal({ seed, loss }));
  });
}
