import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CdnError, decodePath, encodePath, MAX_PATH_BYTES, pathFault, splitTarget } from "../../proto/mod.ts";
import { objectPath } from "./arbitrary.ts";

Deno.test("what encodes a path, decodes to the same, and survives a URL parser", () => {
  fc.assert(fc.property(objectPath, (path) => {
    assertEquals(pathFault(path), null);
    const encoded = encodePath(path);
    assertEquals(decodePath(encoded), path);
    assertEquals(splitTarget(new URL(`http://h${encoded}`).href).path, encoded);
  }));
});

Deno.test("a path of raw UTF-8 and one of escapes are the same object", () => {
  assertEquals(decodePath("/é/%C3%A9"), "/é/é");
  assertEquals(decodePath("/a%20b%25c+d"), "/a b%c+d");
  assertEquals(encodePath("/a b%c+d/(x)@1:2"), "/a%20b%25c+d/(x)@1:2");
});

Deno.test("whatever a client sends as a path is an object's path or a 400 or 414", () => {
  const raw = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.array(
      fc.constantFrom("/", "%", "%2", "%2e", "%2F", "%5c", "%00", "%ff", "%c3%a9", "..", ".", "a", "\\", "é", "-"),
    )
      .map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(raw, (text) => {
      let path: string;
      try {
        path = decodePath(`/${text}`);
      } catch (error) {
        assert(error instanceof CdnError && [400, 414].includes(error.status), String(error));
        return;
      }
      assertEquals(pathFault(path), null);
      assert(!path.split("/").includes(".."));
      assert(!path.startsWith("/-/"));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("what is no path is refused with the reason", () => {
  const table: [string, number, string][] = [
    ["/../etc/passwd", 400, '".."'],
    ["/a/%2e%2e/b", 400, '".."'],
    ["/a/.%2e", 400, '".."'],
    ["/./a", 400, '"."'],
    ["/a%2fb", 400, "encoded slash"],
    ["/a%2Fb", 400, "encoded slash"],
    ["/a%5cb", 400, "encoded slash"],
    ["/a\\b", 400, "control character"],
    ["/a%00b", 400, "control character"],
    ["/a%0d%0ab", 400, "control character"],
    ["/a%c2%85", 400, "control character"],
    ["/a//b", 400, "empty segment"],
    ["/a/", 400, "empty segment"],
    ["/", 400, "below /"],
    ["a", 400, 'start with "/"'],
    ["", 400, 'start with "/"'],
    ["/%ff", 400, "UTF-8"],
    ["/%c3", 400, "UTF-8"],
    ["/%ed%a0%80", 400, "UTF-8"], // a surrogate
    ["/%c0%af", 400, "UTF-8"], // an overlong slash
    ["/%", 400, "UTF-8"],
    ["/%zz", 400, "UTF-8"],
    ["/\ud800", 400, "Unicode"],
    ["/-/x", 400, "reserved"],
    ["/-", 400, "reserved"],
    ["/%2d/x", 400, "reserved"],
    ["/" + "a".repeat(MAX_PATH_BYTES), 414, "bytes long"],
    ["/" + "é".repeat(MAX_PATH_BYTES / 2), 414, "bytes long"],
    ["/" + "a".repeat(5000), 414, "bytes long"],
    ["/" + "%61".repeat(5000), 414, "bytes long"],
  ];
  for (const [encoded, status, words] of table) {
    const error = assertThrows(() => decodePath(encoded), CdnError, undefined, encoded);
    assertEquals(error.status, status, encoded);
    assertStringIncludes(error.message, words, encoded);
  }
  assertEquals(pathFault("/" + "a".repeat(MAX_PATH_BYTES - 1)), null);
  assertEquals(pathFault("/-a"), null);
  assertEquals(pathFault("/a/-/b"), null);
});

Deno.test("a target is split as sent, dots and escapes untouched", () => {
  const table: [string, string, string, string, string][] = [
    ["http://A:8080/x/../y?q=1?2#f", "http", "a:8080", "/x/../y", "q=1?2"],
    ["http://a", "http", "a", "/", ""],
    ["https://a?x", "https", "a", "/", "x"],
    ["http://a/%2e%2E/?#", "http", "a", "/%2e%2E/", ""],
    ["http://a/b#c?d", "http", "a", "/b", ""],
    ["http://[::1]:80/a://b", "http", "[::1]:80", "/a://b", ""],
  ];
  for (const [url, scheme, authority, path, query] of table) {
    assertEquals(splitTarget(url), { scheme, authority, path, query }, url);
  }
});
