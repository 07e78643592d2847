import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { escapeHtml, pageResponse } from "../../runtime/page.ts";

Deno.test("no text becomes markup, in an element or in a quoted attribute", () => {
  assertEquals(
    escapeHtml(`<b class="x" id='y'>&amp;</b>`),
    "&lt;b class=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;&lt;/b&gt;",
  );
  assertEquals(escapeHtml("Zoë 🐱 = 1 + 1"), "Zoë 🐱 = 1 + 1");
});

Deno.test("a page loads nothing, is framed by nobody, and has no body for HEAD", async () => {
  const ask = (method: string) =>
    pageResponse(new Request("http://a/", { method }), "<p>é", { cacheControl: "private" });
  const page = ask("GET");
  assertEquals(page.headers.get("content-type"), "text/html; charset=utf-8");
  assertEquals([page.headers.get("cache-control"), page.headers.get("vary")], ["private", "accept"]);
  const policy = page.headers.get("content-security-policy")!;
  for (const rule of ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]) {
    assertStringIncludes(policy, rule);
  }
  assert(!policy.includes("script-src"), policy);
  assertEquals(await page.text(), "<p>é");
  const head = ask("HEAD");
  assertEquals([head.body, head.headers.get("content-type")], [null, "text/html; charset=utf-8"]);
  assertEquals(pageResponse(new Request("http://a/"), "").headers.get("cache-control"), "no-store");
});
