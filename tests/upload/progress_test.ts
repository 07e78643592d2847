import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { clock, printable, progressLine, Rate } from "../../upload/mod.ts";

Deno.test("a rate is that of the last seconds", () => {
  const rate = new Rate();
  assertEquals([rate.perSecond, rate.secondsLeft(10)], [null, null]);
  rate.add(0, 0);
  assertEquals(rate.perSecond, null);
  for (let at = 1; at <= 10; at++) rate.add(at * 1000, at * 1000);
  assertEquals(rate.perSecond, 1000);
  assertEquals(rate.secondsLeft(20_000), 10);
  for (let at = 11; at <= 20; at++) rate.add(10_000, at * 1000); // it stands still
  assertEquals([rate.perSecond, rate.secondsLeft(20_000)], [0, null]);
});

Deno.test("a line shows the share, the sizes, the rate and the time left", () => {
  const line = progressLine("photo.jpg", { phase: "sending", bytes: 500_000, resumed: 0, size: 1_000_000 }, {
    perSecond: 250_000,
    secondsLeft: 2,
    width: 100,
  });
  for (const part of ["photo.jpg", " 50%", "500 kB of 1 MB", "250 kB/s", "0:02 left", "###", "---"]) {
    assertStringIncludes(line, part);
  }
  const stream = progressLine("-", { phase: "sending", bytes: 5, resumed: 0, size: null }, {
    perSecond: 1,
    secondsLeft: null,
    width: 80,
  });
  assertEquals(stream, "-  5 B  1 B/s");
  const hashing = progressLine("a", { phase: "hashing", bytes: 0, resumed: 0, size: 0 }, {
    perSecond: null,
    secondsLeft: null,
    width: 80,
  });
  assertStringIncludes(hashing, "100%");
  assertStringIncludes(hashing, "hashing");
});

Deno.test("a line fits its width and obeys no control character, whatever it is given", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.record({
        phase: fc.constantFrom("hashing" as const, "sending" as const, "committing" as const),
        bytes: fc.nat(2 ** 31 - 1),
        resumed: fc.nat(),
        size: fc.option(fc.nat(2 ** 31 - 1)),
      }),
      fc.record({
        perSecond: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true })),
        secondsLeft: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true })),
        width: fc.integer({ min: 20, max: 300 }),
      }),
      (name, progress, options) => {
        const line = progressLine(name, progress, options);
        assert(line.length <= options.width, `${line.length} > ${options.width}: ${line}`);
        assert(!/\p{Cc}/u.test(line));
      },
    ),
  );
});

Deno.test("times and names for a terminal", () => {
  assertEquals([0, 3.2, 60, 3599.5, 3600, 1e9].map(clock), ["0:00", "0:04", "1:00", "1:00:00", "1:00:00", "99:59:59"]);
  assertEquals(printable("a\u001b[31m\n\u202eb"), "a?[31m??b");
});
