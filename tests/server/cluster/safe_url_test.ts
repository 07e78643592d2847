import { assertEquals } from "@std/assert";
import { urlFault } from "../../../server/cluster/safe_url.ts";

const own = "https://cdn-1.example:4443";
const loopback = "is this machine's own loopback";
const linkLocal = "is a link-local or metadata address";

Deno.test("a server elsewhere may be asked", () => {
  for (
    const url of [
      "http://cdn-2.example:4000",
      "https://cdn-1.example:4444",
      "http://10.0.0.1:80",
      "http://192.168.1.5:4000",
      "http://8.8.8.8",
      "http://[2001:db8::1]:4000",
      "http://[fd00:ec2::255]:4000",
      "http://localhost.example:4000",
      "http://169.254.example:4000",
      "http://100.100.100.201:4000",
    ]
  ) assertEquals(urlFault(url, own), null, url);
});

Deno.test("loopback is refused in every spelling, unless we are at loopback ourselves", () => {
  for (
    const url of [
      "http://127.0.0.1:4000",
      "http://127.255.3.9:4000",
      "http://localhost:4000",
      "http://LOCALHOST:4000",
      "http://localhost.:4000",
      "http://a.localhost:4000",
      "http://localhost.localdomain:4000",
      "http://ip6-localhost:4000",
      "http://2130706433:4000",
      "http://0x7f000001:4000",
      "http://0x7f.1:4000",
      "http://017700000001:4000",
      "http://127.1:4000",
      "http://127.0.0.1.:4000",
      "http://%31%32%37.0.0.1:4000",
      "http://１２７.0.0.1:4000",
      "http://0.0.0.0:4000",
      "http://0:4000",
      "http://[::1]:4000",
      "http://[0:0:0:0:0:0:0:1]:4000",
      "http://[::]:4000",
      "http://[::ffff:127.0.0.1]:4000",
      "http://[::FFFF:7f00:1]:4000",
      "http://[::127.0.0.1]:4000",
      "http://[64:ff9b::7f00:1]:4000",
      "http://[2002:7f00:1::]:4000",
      "http://[2002:7f00:0001::5]:4000",
    ]
  ) {
    assertEquals(urlFault(url, own), loopback, url);
    assertEquals(urlFault(url, "http://127.0.0.1:1"), null, url);
    assertEquals(urlFault(url, "http://localhost:1"), null, url);
    assertEquals(urlFault(url, "http://[::1]:1"), null, url);
    assertEquals(urlFault(url, ""), null, url);
  }
});

Deno.test("link-local and metadata addresses are refused whoever we are", () => {
  for (
    const url of [
      "http://169.254.169.254",
      "http://169.254.0.1:4000",
      "http://2852039166",
      "http://0xa9fea9fe:80",
      "http://[::ffff:169.254.169.254]",
      "http://[::ffff:a9fe:a9fe]",
      "http://[64:ff9b::a9fe:a9fe]",
      "http://[2002:a9fe:a9fe::]",
      "http://[fe80::1]:4000",
      "http://[FE80::1]:4000",
      "http://[febf::1]:4000",
      "http://[fd00:ec2::254]",
      "http://[fd00:0ec2:0::0254]",
      "http://100.100.100.200",
      "http://[::ffff:100.100.100.200]",
      "http://metadata.google.internal",
      "http://METADATA.google.internal.:80",
    ]
  ) for (const self of [own, "http://127.0.0.1:1", ""]) assertEquals(urlFault(url, self), linkLocal, url);
});

Deno.test("our own authority is nobody else's", () => {
  const same = "is this server's own";
  assertEquals(urlFault("https://cdn-1.example:4443", own), same);
  assertEquals(urlFault("https://CDN-1.example.:4443", own), same);
  assertEquals(urlFault("https://cdn-1.example", "https://cdn-1.example:443"), same);
  assertEquals(urlFault("http://cdn-1.example", "https://cdn-1.example"), null);
  assertEquals(urlFault("http://127.0.0.1:7", "http://127.0.0.1:7"), same);
  assertEquals(urlFault("http://0x7f.1:7", "http://127.0.0.1:7"), same);
});

Deno.test("what is no URL is refused", () => {
  for (const url of ["", "cdn", "http://", "http://[fe80::1%25eth0]:1", "http://a b", "http://256.1.1.1"]) {
    assertEquals(urlFault(url, own), "is not a URL", url);
  }
});
