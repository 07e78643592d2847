import { assert, assertEquals } from "@std/assert";
import { wire } from "../../proto/mod.ts";
import { seedSheets } from "../../pricing/seed.ts";
import { GB, GIB } from "./kit.ts";

const FACTS = new URL("../../../shared/data/egress-prices.json", import.meta.url);

interface Fact {
  provider: string;
  regions: string[];
  networkTier?: string;
  unit?: string;
  freeGB?: number;
  perServer?: boolean;
  currency?: string;
  tiers: [upTo: number | null, price: string][];
  asOf: string;
  confidence: string;
}

Deno.test("no seed sheet stands twice, and each has a source, a date and a confidence", () => {
  const sheets = seedSheets();
  assertEquals(new Set(sheets.map(({ provider, region }) => `${provider}/${region}`)).size, sheets.length);
  for (const sheet of sheets) {
    assert(sheet.source && sheet.asOf && sheet.confidence, `${sheet.provider}/${sheet.region}`);
    assertEquals(sheet.serverNanoPerHour, 0n, "what a server costs was not looked up, and is not made up");
  }
});

Deno.test("a seed sheet of low confidence says that it is unverified, and one in euros that its rate is assumed", () => {
  const sheets = seedSheets();
  const low = sheets.filter(({ confidence }) => confidence === wire.Confidence.LOW);
  const euros = sheets.filter(({ currency }) => currency === "EUR");
  assert(low.length > 0 && euros.length > 0);
  for (const { note } of low) assert(/unverified/i.test(note), note);
  for (const { note } of euros) assert(/assumption of \d{4}-\d{2}-\d{2}/.test(note), note);
});

Deno.test("an allowance of the account counts over all regions, one of a server by server", () => {
  const pool = (provider: string) => seedSheets().find((sheet) => sheet.provider === provider)!.pool;
  assertEquals(pool("aws"), wire.Pool.PROVIDER);
  assertEquals(pool("hetzner"), wire.Pool.SERVER);
  assertEquals(pool("bunny"), wire.Pool.REGION);
});

const facts = readFacts();

Deno.test({
  name: `the seed says what the facts say${facts ? "" : " (skipped: the file of facts is not on this machine)"}`,
  ignore: facts === null,
  fn() {
    const seed = new Map(seedSheets().map((sheet) => [`${sheet.provider}/${sheet.region}`, sheet]));
    const expected = facts!.flatMap((fact) => fact.regions.map((region) => [nameOf(fact, region), fact] as const));
    assertEquals([...seed.keys()].sort(), expected.map(([name]) => name).sort());
    for (const [name, fact] of expected) {
      const sheet = seed.get(name)!;
      const unit = fact.unit === "GiB" ? GIB : GB;
      assertEquals(sheet.unitBytes, unit, name);
      assertEquals(sheet.freeBytes, BigInt(fact.freeGB ?? 0) * unit, name);
      assertEquals(sheet.currency, fact.currency ?? "", name);
      assertEquals(sheet.asOf, fact.asOf, name);
      assertEquals(wire.Confidence[sheet.confidence], fact.confidence.toUpperCase(), name);
      assertEquals(sheet.pool === wire.Pool.SERVER, fact.perServer ?? false, name);
      assertEquals(
        sheet.tiers.map(({ upToBytes, nanoPerUnit }) => [upToBytes, nanoPerUnit]),
        fact.tiers.map(([upTo, price]) => [
          upTo === null ? undefined : BigInt(upTo) * unit,
          BigInt(Math.round(Number(price) * 1e9)),
        ]),
        name,
      );
    }
  },
});

function nameOf({ provider, networkTier }: Fact, region: string): string {
  return `${provider}${networkTier === "standard" ? "-standard" : ""}/${region}`;
}

function readFacts(): Fact[] | null {
  try {
    return (JSON.parse(Deno.readTextFileSync(FACTS)) as { sheets: Fact[] }).sheets;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
