import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { flatSheet } from "../../../cli/up/ask.ts";
import { ownFile, sources } from "../../../cli/up/files.ts";
import type { Link } from "../../../cli/up/link.ts";
import { places } from "../../../cli/up/places.ts";
import { samplePicture } from "../../../cli/up/sample.ts";
import { Screen } from "../../../cli/up/screen.ts";
import { figures, table } from "../../../cli/up/table.ts";
import { columns, gbPriceText, msText, rateText, sizeText, stripAnsiCode, wrapped } from "../../../cli/up/text.ts";
import type { Program } from "../../../cli/up/program.ts";
import type { Policy } from "../../../cli/up/world.ts";
import { wire } from "../../../proto/mod.ts";
import { UsageError } from "../../../runtime/flags.ts";

Deno.test("text: figures as people read them", () => {
  assertEquals([msText(7.46), msText(14.96), msText(999.4), msText(1250)], ["7.5 ms", "15 ms", "999 ms", "1.25 s"]);
  assertEquals([sizeText(12), sizeText(427_863), sizeText(9.25e6), sizeText(33.5e6), sizeText(2e9)], [
    "12 B",
    "428 kB",
    "9.3 MB",
    "34 MB",
    "2.0 GB",
  ]);
  assertEquals(rateText(461_000), "461 kB/s");
  assertEquals(gbPriceText(87_000_000), "$0.0870");
  assertEquals(wrapped("one two three four", 9), ["one two", "three", "four"]);
  assertEquals(columns(["a", ">b"], [["long", "1"], ["x", "22"]]), ["a      b", "long   1", "x     22"]);
});

Deno.test("screen: on a terminal the block is redrawn below the lines; elsewhere there are only lines", () => {
  let plain = "";
  const log = new Screen({ terminal: false, write: (text) => plain += text, columns: () => 80 });
  log.block(["never seen"]);
  log.line("one", "two");
  log.close();
  assertEquals(plain, "one\ntwo\n");

  let drawn = "";
  const screen = new Screen({ terminal: true, write: (text) => drawn += text, columns: () => 20 });
  screen.block(["first", "x".repeat(40)]);
  drawn = "";
  screen.line("a line");
  // Up over the two rows of the block, all below cleared, the line, and the block again; no row wraps.
  assertEquals(drawn, `\x1b[2A\r\x1b[0Ja line\nfirst\n${"x".repeat(18)}…\n`);
  drawn = "";
  screen.close();
  screen.line("after the end");
  assertEquals(drawn, "\x1b[?25h");
});

Deno.test("places: each has a price sheet's name and one connection's share of 64", () => {
  assertEquals(places.map(({ provider, region }) => `${provider} ${region}`), [
    "aws us-east-1",
    "azure westeurope",
    "gcp us-central1",
  ]);
  assertEquals(places[0]!.shape, { rttMs: 14.963, bytesPerSecond: Math.round(4734.5e6 / 8 / 64) });
});

function explanation(policy: Policy, size = 400_000): wire.Explanation {
  const candidate = (id: string, timeMs: number, egressNanoPerGb: number, excluded = "") => ({
    ...{
      id,
      timeMs,
      egressNanoPerGb,
      excluded,
      rttMs: timeMs,
      bytesPerSecond: 9e6,
      ageMs: 10,
      priceConfidence: "high",
    },
    score: timeMs * 1000,
  });
  return create(wire.ExplanationSchema, {
    policy,
    size,
    chosen: "aws",
    candidates: [
      candidate("aws", 60, 90_000_000),
      candidate("gcp", 80, 111_800_000),
      candidate("azure", 127, 87e6, "down: x"),
    ],
  });
}

Deno.test("table: the figures are those of the policy, and no row is wider than 80", () => {
  assertEquals(figures(explanation("network")), "aws 60 ms, gcp 80 ms, azure down");
  assertEquals(figures(explanation("price")), "aws $0.0900/GB, gcp $0.1118/GB, azure down");
  assertEquals(figures(explanation("combined")), "per 1000: aws $0.060, gcp $0.080, azure down");
  assertEquals(figures(explanation("combined", 32e6)), "each: aws $0.0001, gcp $0.0001, azure down");
  const program = { url: "http://127.0.0.1:65535" } as Program;
  const clouds = places.map((place, at) => ({
    place,
    link: { shape: place.shape } as Link,
    program: at === 1 ? null : program,
  }));
  const proxies = new Map((["network", "price", "combined"] as const).map((policy) => [policy, program]));
  const known = new Map((["network", "price"] as const).map((policy) => [policy, explanation(policy)]));
  const rows = table({ clouds, proxies }, known, `/${"long".repeat(20)}.jpg`).map(stripAnsiCode);
  assert(rows.every((row) => row.length < 80), rows.join("\n"));
  assert(rows.some((row) => /azure +dead/.test(row)), rows.join("\n"));
  assert(rows.some((row) => /network +:65535 +aws +aws 60 ms/.test(row)), rows.join("\n"));
});

Deno.test("a flat sheet has one price in dollars for every byte", () => {
  const tiers = [{ nanoPerUnit: 5n }];
  const sheet = create(wire.SheetSchema, { provider: "p", region: "r", unitBytes: 1n << 30n, tiers, freeBytes: 7n });
  const flat = flatSheet(sheet, 90_000_000n);
  assertEquals([flat.provider, flat.unitBytes, flat.freeBytes, flat.tiers.length], ["p", 1_000_000_000n, 0n, 1]);
  assertEquals([flat.tiers[0]!.nanoPerUnit, flat.tiers[0]!.upToBytes], [90_000_000n, undefined]);
  assertEquals(sheet.unitBytes, 1n << 30n);
});

Deno.test("the picture is a JPEG of some hundred kilobytes, and the same each time", async () => {
  const [picture, again] = [await samplePicture(), await samplePicture()];
  assertEquals([...picture.subarray(0, 3)], [0xff, 0xd8, 0xff]);
  assert(picture.length > 200_000 && picture.length < 900_000, String(picture.length));
  assertEquals(picture, again);
});

Deno.test("files: those given are checked; a film that is there is taken again", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/a`);
    await Deno.writeTextFile(`${folder}/x.jpg`, "x");
    await Deno.writeTextFile(`${folder}/a/x.jpg`, "y");
    assertEquals(await sources([`${folder}/x.jpg`]), [{ file: `${folder}/x.jpg`, path: "/x.jpg" }]);
    const refused = async (...files: string[]) => {
      try {
        await sources(files);
      } catch (error) {
        assert(error instanceof UsageError, String(error));
        return error.message;
      }
      throw new Error("it was taken");
    };
    assert((await refused(`${folder}/none`)).includes("Cannot read"));
    assert((await refused(folder)).includes("is not a file"));
    assert((await refused(`${folder}/x.jpg`, `${folder}/a/x.jpg`)).includes("two files are named x.jpg"));
    const { file, path } = await ownFile(folder, "film");
    assertEquals(path, "/film.bin");
    const first = await Deno.readFile(file);
    await ownFile(folder, "film");
    assertEquals(await Deno.readFile(file), first);
    await Deno.truncate(file, 10);
    await ownFile(folder, "film");
    assertNotEquals((await Deno.readFile(file)).subarray(0, 64), first.subarray(0, 64));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
