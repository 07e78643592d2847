/** Which media type an object has whose uploader did not say. */
import { contentType } from "@std/media-types/content-type";
import { extname } from "@std/path";

/** Found from the extension of the path, else of the original name; else `application/octet-stream`. */
export function mediaTypeOf(path: string, name = ""): string {
  return byExtension(path) ?? byExtension(name) ?? "application/octet-stream";
}

function byExtension(text: string): string | undefined {
  const extension = extname(text);
  return extension === "" ? undefined : contentType(extension);
}
