import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ifThere, inTurns } from "../../runtime/files.ts";

/** Work that each run of waits to be let go on. */
function heldBack(): { work: (key: string) => Promise<void>; runs: { key: string; end: (error?: Error) => void }[] } {
  const runs: { key: string; end: (error?: Error) => void }[] = [];
  return {
    runs,
    work: (key) =>
      new Promise((resolve, reject) => void runs.push({ key, end: (error) => error ? reject(error) : resolve() })),
  };
}

Deno.test("work in turns: who asks meanwhile shares the next run, which begins after the one before", async () => {
  const { work, runs } = heldBack();
  const ask = inTurns(work);
  const over: string[] = [];
  const note = (name: string, key = "a") => ask(key).then(() => void over.push(name));
  const first = note("first");
  const others = [note("second"), note("third"), note("fourth")];
  const elsewhere = note("elsewhere", "b");
  assertEquals(runs.map(({ key }) => key), ["a", "b"], "other keys do not wait");
  runs[0]!.end();
  await first;
  assertEquals(over, ["first"], "the run before began too early for those who came later");
  while (runs.length < 3) await Promise.resolve();
  const late = note("late");
  runs[2]!.end();
  await Promise.all(others);
  assertEquals(over.length, 4);
  while (runs.length < 4) await Promise.resolve();
  runs[3]!.end();
  runs[1]!.end();
  await Promise.all([late, elsewhere]);
  assertEquals(runs.length, 4);
  const again = ask("a");
  assertEquals(runs.length, 5, "nobody is at it: it begins at once");
  runs[4]!.end();
  await again;
});

Deno.test("work in turns: a run that fails fails those alone who asked for it", async () => {
  const { work, runs } = heldBack();
  const ask = inTurns(work);
  const first = ask("a");
  const [second, third] = [ask("a"), ask("a")];
  runs[0]!.end(new Error("no disk"));
  await assertRejects(() => first, Error, "no disk");
  while (runs.length < 2) await Promise.resolve();
  runs[1]!.end();
  await Promise.all([second, third]);
});

Deno.test("null where it is not there; all else that fails is thrown on", () => {
  const missing = `${import.meta.dirname}/no such folder`;
  assertEquals(ifThere(() => [...Deno.readDirSync(missing)]), null);
  assertEquals(ifThere(() => Deno.statSync(import.meta.dirname!).isDirectory), true);
  assertThrows(() => ifThere(() => Deno.readDirSync(import.meta.filename!)), Deno.errors.NotADirectory);
});
