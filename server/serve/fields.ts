/** The fields that describe an object in an answer. */
import { formatDigestField, formatVersion, type Manifest } from "../../proto/mod.ts";
import { metadataFields } from "../metadata_fields.ts";
import type { Validators } from "./conditional.ts";
import { formatHttpDate } from "./http_date.ts";
import { memo } from "./memo.ts";
import { type Caching, cachingFields } from "./policy.ts";

/** Header lines as `Response` takes them. */
export type FieldLines = [name: string, value: string][];

const digestField = memo(formatDigestField);

/** What a 200, a 206 and a 304 share (RFC 9110 §15.4.5): validators, caching, and our own version. */
export function validatorFields(
  manifest: Manifest,
  validators: Validators,
  caching: Caching,
  nowMs: number,
): FieldLines {
  return [
    ["etag", validators.etag],
    ["last-modified", formatHttpDate(validators.modifiedMs)],
    // Set here and not by the runtime, so that Expires is exactly Date + max-age.
    ["date", formatHttpDate(nowMs)],
    ...cachingFields(caching, nowMs),
    ["metacdn-version", formatVersion(manifest.version)],
  ];
}

/** What describes the representation itself, its Content-Type apart: in a 200 and in a 206. */
export function representationFields(manifest: Manifest): FieldLines {
  return [
    ["accept-ranges", "bytes"],
    ["repr-digest", digestField(manifest.sha256)],
    ["x-content-type-options", "nosniff"],
    ...metadataFields(manifest),
  ];
}
