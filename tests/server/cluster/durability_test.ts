import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { wire } from "../../../proto/mod.ts";
import { durability, type DurabilityInput, type ObjectName, type Place } from "../../../server/cluster/durability.ts";

const place = (id: string, change: Partial<Place> = {}): Place => ({
  id,
  provider: `p-${id}`,
  region: "r",
  labels: {},
  role: "origin",
  state: "alive",
  draining: false,
  ...change,
});
const object = (path: string, size = 10, wallMs = 1, server = "a"): ObjectName => ({
  path,
  size,
  version: { wallMs, counter: 0, server },
});
const input = (change: Partial<DurabilityInput>): DurabilityInput => ({
  places: [],
  objects: 0,
  bytes: 0,
  lacks: new Map(),
  minCopies: 2,
  ...change,
});
/** `kind name lost/bytes unreachable/bytes examples`, a line a risk. */
const lines = ({ risks }: wire.Durability) =>
  risks.map((risk) =>
    `${risk.kind} ${risk.name} ${risk.lostObjects}/${risk.lostBytes} ` +
    `${risk.unreachableObjects}/${risk.unreachableBytes} ${risk.examples.join(" ")}`.trimEnd()
  );

const a = place("a"), b = place("b"), c = place("c");
const none: ObjectName[] = [];
const all = (...ids: string[]) => ids.map((id): [string, ObjectName[]] => [id, none]);

const table: [what: string, input: Partial<DurabilityInput>, risks: string[]][] = [
  ["nothing stored is no risk", { places: [a], lacks: new Map(all("a")) }, []],
  ["everything at two providers is safe", { places: [a, b], objects: 9, bytes: 90, lacks: new Map(all("a", "b")) }, []],
  ["one server is a risk for everything, by every name it has", {
    places: [place("a", { labels: { jurisdiction: "eu", operator: "us" } })],
    objects: 9,
    bytes: 90,
    lacks: new Map(all("a")),
  }, [
    "server a 9/90 0/0",
    "provider p-a 9/90 0/0",
    "region p-a/r 9/90 0/0",
    "jurisdiction eu 9/90 0/0",
    "operator us 9/90 0/0",
  ]],
  ["with all origins at one provider, that provider is a risk for everything", {
    places: [place("a", { provider: "aws", region: "x" }), place("b", { provider: "aws", region: "y" })],
    objects: 9,
    bytes: 90,
    lacks: new Map(all("a", "b")),
  }, ["provider aws 9/90 0/0"]],
  ["regions of one name at two providers fail apart; a label that is absent is no group", {
    places: [place("a", { labels: { operator: "us" } }), place("b")],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b")),
  }, []],
  ["one jurisdiction over two providers", {
    places: [place("a", { labels: { jurisdiction: "us" } }), place("b", { labels: { jurisdiction: "us" } })],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b")),
  }, ["jurisdiction us 1/10 0/0"]],
  ["what one lacks is a risk of the other", {
    places: [a, b],
    objects: 3,
    bytes: 30,
    lacks: new Map([["a", none], ["b", [object("/x")]]]),
  }, ["server a 1/10 0/0 /x", "provider p-a 1/10 0/0 /x", "region p-a/r 1/10 0/0 /x"]],
  ["an edge's copy is none", {
    places: [a, place("b", { role: "edge" })],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b")),
  }, ["server a 1/10 0/0", "provider p-a 1/10 0/0", "region p-a/r 1/10 0/0"]],
  ["a copy on a dead server's disk is out of reach, not lost", {
    places: [a, place("b", { state: "dead" })],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b")),
  }, ["server a 0/0 1/10", "provider p-a 0/0 1/10", "region p-a/r 0/0 1/10"]],
  ["so is one on a server that left, or is suspected, or was never heard of; our own answers", {
    places: [
      place("a", { state: "self" }),
      place("b", { state: "left" }),
      place("c", { state: "suspect" }),
      place("d", { state: "unknown" }),
    ],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b", "c", "d")),
  }, ["server a 0/0 1/10", "provider p-a 0/0 1/10", "region p-a/r 0/0 1/10"]],
  ["what only a dead server has would be lost with it", {
    places: [a, place("b", { state: "dead" })],
    objects: 1,
    bytes: 10,
    lacks: new Map([["a", [object("/x")]], ["b", none]]),
  }, ["server b 1/10 0/0 /x", "provider p-b 1/10 0/0 /x", "region p-b/r 1/10 0/0 /x"]],
  ["a server that could not be asked holds nothing", {
    places: [a, b],
    objects: 1,
    bytes: 10,
    lacks: new Map<string, ObjectName[] | "unasked">([["a", none], ["b", "unasked"]]),
  }, ["server a 1/10 0/0", "provider p-a 1/10 0/0", "region p-a/r 1/10 0/0"]],
  ["what nobody is known to hold may be with whoever could not be asked", {
    places: [a, b],
    objects: 1,
    bytes: 10,
    lacks: new Map([["a", [object("/x")]]]),
  }, ["server b 1/10 0/0 /x", "provider p-b 1/10 0/0 /x", "region p-b/r 1/10 0/0 /x"]],
  ["or else was with the server that wrote it, which may be gone from the list", {
    places: [a, b],
    objects: 1,
    bytes: 10,
    lacks: new Map([["a", [object("/x", 10, 1, "gone")]], ["b", [object("/x", 10, 1, "gone")]]]),
  }, ["server gone 1/10 0/0 /x"]],
  ["what is known elsewhere only is with its holders; others need not say that they lack it", {
    places: [a, b, c],
    objects: 2,
    bytes: 20,
    lacks: new Map(all("a", "b", "c")),
    elsewhere: [{ ...object("/x"), holders: ["c"] }],
  }, ["server c 1/10 0/0 /x", "provider p-c 1/10 0/0 /x", "region p-c/r 1/10 0/0 /x"]],
  ["told by two, it is with both", {
    places: [a, b, c],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b", "c")),
    elsewhere: [{ ...object("/x"), holders: ["c"] }, { ...object("/x"), holders: ["b"] }],
  }, []],
  ["the newest version counts, once; who holds or lacks an older one lacks it", {
    places: [a, b, c],
    objects: 1,
    bytes: 30,
    lacks: new Map([["a", [object("/x", 20, 2)]], ["b", none], ["c", none]]),
    elsewhere: [{ ...object("/x", 10, 1), holders: ["b"] }, { ...object("/x", 30, 3), holders: ["c"] }],
  }, ["server c 1/30 0/0 /x", "provider p-c 1/30 0/0 /x", "region p-c/r 1/30 0/0 /x"]],
  ["a newer version that one lacks is not with those of the older one", {
    places: [a, b, c],
    objects: 1,
    bytes: 20,
    lacks: new Map([["a", [object("/x", 20, 2)]], ["b", none], ["c", none]]),
    elsewhere: [{ ...object("/x", 10, 1), holders: ["b"] }],
  }, ["server c 1/20 0/0 /x", "provider p-c 1/20 0/0 /x", "region p-c/r 1/20 0/0 /x"]],
  ["nor is it with those of any older one, in whatever order they were told", {
    places: [a, b, c, place("d")],
    objects: 1,
    bytes: 50,
    lacks: new Map([["a", [object("/x", 50, 5)]], ...all("b", "c", "d")]),
    elsewhere: [{ ...object("/x", 30, 3), holders: ["c"] }, { ...object("/x", 10, 1), holders: ["b"] }],
  }, ["server d 1/50 0/0 /x", "provider p-d 1/50 0/0 /x", "region p-d/r 1/50 0/0 /x"]],
  ["an older version that is told later adds no holder", {
    places: [a, b, c],
    objects: 1,
    bytes: 30,
    lacks: new Map(all("a", "b", "c")),
    elsewhere: [{ ...object("/x", 30, 3), holders: ["c"] }, { ...object("/x", 10, 1), holders: ["b"] }],
  }, ["server c 1/30 0/0 /x", "provider p-c 1/30 0/0 /x", "region p-c/r 1/30 0/0 /x"]],
  ["a server that drains still has what it has", {
    places: [a, place("b", { draining: true })],
    objects: 1,
    bytes: 10,
    lacks: new Map(all("a", "b")),
  }, []],
  ["with min-copies of three, two copies are no risk but where they share a fate", {
    places: [place("a", { provider: "p" }), place("b", { provider: "p" }), c],
    objects: 2,
    bytes: 20,
    minCopies: 3,
    lacks: new Map([["a", none], ["b", none], ["c", [object("/x")]]]),
  }, ["provider p 1/10 0/0 /x", "region p/r 1/10 0/0 /x"]],
  ["the worst comes first, and what has the fewest copies, then the largest, is the first example", {
    places: [place("a", { provider: "p" }), place("b", { provider: "p" }), c],
    objects: 4,
    bytes: 64,
    lacks: new Map([
      ["a", [object("/only-b", 1)]],
      ["b", [object("/only-a", 2), object("/only-a-larger", 3)]],
      ["c", [object("/only-b", 1), object("/only-a", 2), object("/only-a-larger", 3), object("/both", 58)]],
    ]),
  }, [
    "provider p 4/64 0/0 /only-a-larger /only-a /only-b /both",
    "region p/r 4/64 0/0 /only-a-larger /only-a /only-b /both",
    "server a 2/5 0/0 /only-a-larger /only-a",
    "server b 1/1 0/0 /only-b",
  ]],
];

for (const [what, given, risks] of table) {
  Deno.test(`durability: ${what}`, () => assertEquals(lines(durability(input(given), 7)), risks));
}

Deno.test("durability says what was looked at: totals, servers that should hold everything, those not asked", () => {
  const answer = durability(
    input({
      places: [a, b, place("d", { draining: true }), place("e", { role: "edge" }), place("z")],
      objects: 5,
      bytes: 50,
      minCopies: 3,
      lacks: new Map<string, ObjectName[] | "unasked">([["a", none], ["b", none], ["d", none], ["z", "unasked"], [
        "?",
        none,
      ]]),
    }),
    1234,
  );
  const { checkedMs, objects, bytes, servers, minCopies, unasked } = answer;
  assertEquals({ checkedMs, objects, bytes, servers, minCopies, unasked }, {
    checkedMs: 1234n,
    objects: 5n,
    bytes: 50n,
    servers: 3,
    minCopies: 3,
    unasked: ["z"],
  });
});

Deno.test("durability names few of many paths, the largest", () => {
  const many = Array.from({ length: 100 }, (_, at) => object(`/${at}`, at));
  const answer = durability(
    input({ places: [a, b], objects: 100, bytes: 4950, lacks: new Map([["a", none], ["b", many]]) }),
    0,
  );
  assertEquals(answer.risks[0]!.examples, ["/99", "/98", "/97", "/96", "/95"]);
  assertEquals(answer.risks[0]!.lostBytes, 4950n);
});

// Against a model that has the whole matrix, and asks the definition of each object and each group.

const KINDS = ["server", "provider", "region", "jurisdiction", "operator"];
const STATES = ["self", "alive", "suspect", "dead", "left", "unknown"];
const ids = ["a", "b", "c", "d", "e"];

const world = fc.record({
  places: fc.tuple(...ids.map((id) =>
    fc.record({
      id: fc.constant(id),
      provider: fc.constantFrom("p", "q"),
      region: fc.constantFrom("r", "s"),
      labels: fc.constantFrom({}, { jurisdiction: "x" }, { jurisdiction: "y", operator: "p" }, { operator: "q" }),
      role: fc.constantFrom("origin", "origin", "origin", "edge"),
      state: fc.constantFrom(...STATES),
      draining: fc.boolean(),
      asked: fc.constantFrom(true, true, true, false),
      listed: fc.constantFrom(true, true, true, false),
    })
  )),
  objects: fc.array(
    fc.record({
      size: fc.nat(9),
      writer: fc.constantFrom(...ids, "gone"),
      // How each server stands to it: holds it; lacks it; has or wants an older version.
      stands: fc.tuple(...ids.map(() => fc.constantFrom("holds", "holds", "lacks", "older"))),
      told: fc.constantFrom("lacks", "elsewhere", "elsewhere in parts"),
    }),
    { maxLength: 12 },
  ),
});

Deno.test("durability agrees with a naive model", () => {
  fc.assert(
    fc.property(world, ({ places: everybody, objects }) => {
      const places = everybody.filter(({ listed }) => listed);
      const origins = places.filter(({ role }) => role === "origin");
      const named = objects.map(({ size, writer }, at) => object(`/${at}`, size, 5, writer));
      const holds = (id: string, at: number) => objects[at]!.stands[ids.indexOf(id)] === "holds";

      const lacks = new Map<string, ObjectName[] | "unasked">();
      for (const { id, asked } of places) {
        const list = named.flatMap((each, at) => {
          const stand = objects[at]!.stands[ids.indexOf(id)];
          if (stand === "holds" || (objects[at]!.told !== "lacks" && stand === "lacks")) return [];
          if (stand === "lacks") return [each];
          // The size of an older version counts only where nobody names the newest.
          return [{
            ...each,
            size: objects[at]!.told === "lacks" ? each.size : 99,
            version: { ...each.version, wallMs: 4 },
          }];
        });
        lacks.set(id, asked ? list : "unasked");
      }
      const elsewhere = named.flatMap((each, at) => {
        const holders = ids.filter((id) => holds(id, at));
        const { told } = objects[at]!;
        if (told === "lacks") return [];
        return told === "elsewhere"
          ? [{ ...each, holders }]
          : [[], ...holders.map((id) => [id])].map((holders) => ({ ...each, holders }));
      });
      const bytes = named.reduce((total, { size }) => total + size, 0);
      const answer = durability(
        { places, objects: objects.length, bytes, lacks, elsewhere, minCopies: 2 },
        0,
      );

      const nameOf = (kind: string, { id, provider, region, labels }: Place) =>
        ({ server: id, provider, region: `${provider}/${region}`, ...labels } as Record<string, string>)[kind];
      const askedIds = origins.filter(({ asked }) => asked).map(({ id }) => id);
      const unasked = origins.filter(({ asked }) => !asked).map(({ id }) => id);
      const answers = (id: string) => ["self", "alive"].includes(places.find((each) => each.id === id)!.state);
      const expected = new Map<
        string,
        { lost: Set<string>; unreachable: Set<string>; lostBytes: number; farBytes: number }
      >();
      for (const kind of KINDS) {
        const groups = new Set(origins.map((each) => nameOf(kind, each)).filter((name) => name !== undefined));
        if (kind === "server") { for (const id of [...ids, "gone"]) groups.add(id); }
        for (const group of groups) {
          const members = [
            ...origins.filter((each) => nameOf(kind, each) === group).map(({ id }) => id),
            ...(kind === "server" ? [group] : []),
          ];
          const risk = { lost: new Set<string>(), unreachable: new Set<string>(), lostBytes: 0, farBytes: 0 };
          named.forEach(({ path, size, version }, at) => {
            const holders = askedIds.filter((id) => holds(id, at));
            if (holders.length === 0) {
              // Where every origin was asked and nobody holds it, its writer; in bulk there is no such object.
              const suspects = unasked.length > 0 ? unasked : [version.server];
              if (suspects.some((id) => members.includes(id))) risk.lost.add(path), risk.lostBytes += size;
              return;
            }
            if (!holders.some((id) => members.includes(id))) return;
            const outside = holders.filter((id) => !members.includes(id));
            if (outside.length === 0) risk.lost.add(path), risk.lostBytes += size;
            else if (!outside.some(answers)) risk.unreachable.add(path), risk.farBytes += size;
          });
          if (risk.lost.size + risk.unreachable.size > 0) expected.set(`${kind} ${group}`, risk);
        }
      }
      // With no origin asked and none unasked there is nobody to name for what is not told one by one.
      if (origins.length === 0) return;
      const bare = askedIds.length === 0; // then all is told in bulk, and the model names the same servers
      assertEquals(answer.unasked, unasked.sort());
      assertEquals(answer.risks.map(({ kind, name }) => `${kind} ${name}`).sort(), [...expected.keys()].sort());
      for (const risk of answer.risks) {
        const { lost, unreachable, lostBytes, farBytes } = expected.get(`${risk.kind} ${risk.name}`)!;
        assertEquals(Number(risk.lostObjects), lost.size);
        assertEquals(Number(risk.unreachableObjects), unreachable.size);
        assertEquals([Number(risk.lostBytes), Number(risk.unreachableBytes)], [lostBytes, farBytes]);
        for (const path of risk.examples) assert(bare || lost.has(path) || unreachable.has(path), path);
      }
      assertEquals(
        answer.risks.map(({ lostObjects, unreachableObjects }) => [lostObjects, unreachableObjects]),
        answer.risks.map(({ lostObjects, unreachableObjects }) => [lostObjects, unreachableObjects])
          .toSorted((x, y) => Number(y[0]! - x[0]!) || Number(y[1]! - x[1]!)),
      );
    }),
    { numRuns: 2000 },
  );
});
