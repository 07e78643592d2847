/** A price that was put takes effect at once, is kept with who and when, and survives a restart. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { GB, NOON, sampleSheet, startPricing, temporaryFolder } from "./kit.ts";

const PATH = "/-/v1/prices/cloud/here-1";
const token = "correct-horse-battery-staple";

for (const codec of [jsonCodec, protobufCodec]) {
  Deno.test(`prices that were put are there after a restart, with who, when, and what was before (${codec.encoding})`, async () => {
    using folder = temporaryFolder();
    let now = NOON;
    const options = { folder: folder.path, seed: [], now: () => now, secrets: { token, clusterKey: null } };
    const headers = { authorization: `Bearer ${token}` };
    const put = (nanoPerUnit: bigint) => ({
      codec,
      headers,
      method: "PUT",
      message: [wire.SheetSchema, sampleSheet({ freeBytes: 0n, tiers: [{ nanoPerUnit }] })] as [
        typeof wire.SheetSchema,
        wire.Sheet,
      ],
    });
    {
      using pricing = startPricing(options);
      for (const nano of [10_000_000n, 20_000_000n]) {
        now += 1000;
        const kept = await pricing.read(PATH, wire.SheetSchema, put(nano));
        assertMatch(kept.updatedBy, new RegExp(`^token:${sha256(new TextEncoder().encode(token)).slice(0, 8)}@192`));
        assertEquals(kept.updatedMs, BigInt(now));
        const { quotes } = await pricing.read("/-/v1/quotes", wire.QuoteAnswerSchema, {
          codec,
          headers,
          message: [
            wire.QuoteRequestSchema,
            create(wire.QuoteRequestSchema, {
              bytes: GB,
              places: [{ provider: "cloud", region: "here-1", server: "a" }],
            }),
          ],
        });
        assertEquals(quotes[0]!.egressNanoPerGb, nano, "the very next quote counts by it");
      }
    }
    now += 60_000;
    using pricing = startPricing(options);
    const sheet = await pricing.read(PATH, wire.SheetSchema, { codec, headers });
    assertEquals([sheet.tiers[0]!.nanoPerUnit, sheet.updatedMs], [20_000_000n, BigInt(NOON + 2000)]);
    assert(sheet.updatedBy.startsWith("token:"), sheet.updatedBy);
    const { changes } = await pricing.read(`${PATH}/history`, wire.SheetHistorySchema, { codec, headers });
    assertEquals(changes.map((one) => [one.by, Number(one.atMs) - NOON, one.sheet?.tiers[0]?.nanoPerUnit]), [
      [sheet.updatedBy, 2000, 20_000_000n],
      [sheet.updatedBy, 1000, 10_000_000n],
    ]);
  });
}
