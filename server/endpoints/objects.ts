/** `/-/v1/objects`: what there is, and what is known of one object. */
import { decodePath, formatVersion, manifestToWire, wire } from "../../proto/mod.ts";
import { messageResponse } from "../../runtime/message.ts";
import { isLive, newestOf } from "../parts.ts";
import { listObjects, listResponse } from "../serve/listing.ts";
import { notFound } from "../write.ts";
import type { Call } from "./call.ts";

/** GET /-/v1/objects?prefix=&after=&limit= */
export async function list({ request, query, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  return listResponse(request, await listObjects(parts.store, query));
}

/** GET /-/v1/objects/<path>: as open as the object itself. */
export async function describe({ request, segments, parts }: Call): Promise<Response> {
  const path = decodePath(`/${segments.path}`);
  const manifest = await newestOf(path, parts);
  if (!isLive(manifest)) throw notFound(path, manifest);
  return messageResponse(request, wire.ManifestSchema, manifestToWire(manifest), {
    headers: { "metacdn-version": formatVersion(manifest.version) },
  });
}
