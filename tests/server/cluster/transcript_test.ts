/** Plays the transcripts of `tests/cases`; with METACDN_REWRITE=1 it writes their outcomes anew. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { Story } from "./story.ts";

const folder = fromFileUrl(new URL("../../cases/", import.meta.url));

async function playAll(text: string): Promise<string> {
  await using story = new Story();
  const told: string[] = [];
  for (const line of text.trimEnd().split("\n")) {
    const command = line.split(" -> ")[0]!.trim();
    if (command === "" || command.startsWith("#")) told.push(line);
    else told.push(`${command.padEnd(22)} -> ${await story.play(command)}`);
  }
  return told.join("\n") + "\n";
}

for (const { name } of [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".txt")) continue;
  Deno.test(`transcript ${name}`, async () => {
    const file = `${folder}${name}`;
    const text = await Deno.readTextFile(file);
    const played = await playAll(text);
    if (Deno.env.get("METACDN_REWRITE") === "1") await Deno.writeTextFile(file, played);
    else assertEquals(played, text);
  });
}
