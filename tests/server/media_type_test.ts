import { assertEquals } from "@std/assert";
import { mediaTypeOf } from "../../server/media_type.ts";

Deno.test("a media type is found from the path, else from the name, else it is bytes", () => {
  for (
    const [path, name, type] of [
      ["/a.jpg", "", "image/jpeg"],
      ["/a.JPG", "b.png", "image/jpeg"],
      ["/a", "b.png", "image/png"],
      ["/a.unheard-of", "b.webp", "image/webp"],
      ["/a", "", "application/octet-stream"],
      ["/a.d/b", "", "application/octet-stream"],
      ["/a.", ".png", "application/octet-stream"],
      ["/index.html", "", "text/html; charset=UTF-8"],
    ] as const
  ) assertEquals(mediaTypeOf(path, name), type, path);
});
