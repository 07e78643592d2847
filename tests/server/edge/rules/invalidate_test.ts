import { assertEquals } from "@std/assert";
import { invalidatedBy } from "../../../../server/edge/rules/mod.ts";
import { lines } from "./kit.ts";

function invalidated(
  fields = "",
  { method = "POST", target = "/a/b?c", authority = "cdn.example", status = 200 } = {},
) {
  return invalidatedBy({ method, target, authority }, { status, fields: lines(fields) });
}

Deno.test("a write makes its own target stale, where it did not fail", () => {
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "UNKNOWN", "get"]) {
    assertEquals(invalidated("", { method }), ["/a/b?c"], method);
  }
  for (const method of ["GET", "HEAD", "OPTIONS", "TRACE"]) assertEquals(invalidated("", { method }), [], method);
  for (const status of [200, 201, 204, 299, 303, 399]) assertEquals(invalidated("", { status }).length, 1);
  for (const status of [100, 400, 404, 500, 503]) assertEquals(invalidated("", { status }), []);
});

Deno.test("the target as it is keyed", () => {
  for (const target of ["/", "/%7Ea/../b//c?", "/a?b#"]) assertEquals(invalidated("", { target }), [target]);
  assertEquals(invalidated("", { target: "http://cdn.example/x?y" }), ["/x?y"]);
  assertEquals(invalidated("", { target: "HTTP://cdn.example?y" }), ["/?y"]);
  for (const target of ["*", "cdn.example:80", ""]) assertEquals(invalidated("", { target }), []);
});

Deno.test("Location and Content-Location on the same authority", () => {
  const others = (fields: string, authority?: string) => invalidated(fields, authority ? { authority } : {}).slice(1);
  assertEquals(others("Location: /x?y#z"), ["/x?y"]);
  assertEquals(others("Location: x"), ["/a/x"]);
  assertEquals(others("Location: ?q"), ["/a/b?q"]);
  assertEquals(others("Content-Location: ../x\nLocation: /y"), ["/x", "/y"]);
  assertEquals(others("Location: /a/b?c"), []);
  assertEquals(others("Location: /p/../x"), ["/p/../x", "/x"]);
  assertEquals(others("Location: http://cdn.example/x"), ["/x"]);
  assertEquals(others("Location: https://CDN.example:443/x"), ["/x"]);
  assertEquals(others("Location: //cdn.example/x"), ["/x"]);
  assertEquals(others("Location: http://cdn.example:8080/x", "cdn.example:8080"), ["/x"]);
  for (
    const field of [
      "http://other.example/x",
      "//other.example/x",
      "http://cdn.example:8080/x",
      "http://cdn.example@other.example/x",
      "http:///x y:z",
      "ftp://cdn.example/x",
      "data:,x",
      "\\\\other.example\\x",
      "http://[",
    ]
  ) assertEquals(others(`Location: ${field}`), [], field);
  assertEquals(others("Location: /x", "not an authority"), []);
});
