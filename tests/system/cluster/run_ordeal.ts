/** `deno task ordeal --rounds 20`: as many rounds as one likes, and a line for each. Ends with 1 where one went wrong. */
import { parseArgs } from "@std/cli/parse-args";
import { type Loss, ordeal } from "./ordeal.ts";

const { rounds, seed, operations, loss } = parseArgs(Deno.args, { string: ["rounds", "seed", "operations", "loss"] });
const first = seed === undefined ? crypto.getRandomValues(new Uint32Array(1))[0]! : Number(seed);
let failed = 0;
for (let round = 0; round < Number(rounds ?? 1); round++) {
  try {
    const report = await ordeal({
      seed: first + round,
      ...(operations !== undefined && { operations: Number(operations) }),
      ...(loss !== undefined && { loss: loss as Loss }),
    });
    console.log(JSON.stringify(report));
  } catch (error) {
    failed++;
    console.error(`seed ${first + round}: ${(error as Error).message}`);
  }
}
if (failed > 0) Deno.exit(1);
