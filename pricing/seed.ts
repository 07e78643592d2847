/**
 * The sheets that the program comes with: public list prices of egress to the internet, written down by us in
 * `seed_sheets.json` with source, date and confidence. README.md says how each pool was chosen.
 */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { messageFaults, refuse, wire } from "../proto/mod.ts";
import seed from "./seed_sheets.json" with { type: "json" };

/** The sheets, checked. */
export function seedSheets(): wire.Sheet[] {
  const { sheets } = fromJson(wire.SheetListSchema, seed as JsonValue);
  for (const sheet of sheets) refuse(`${sheet.provider}/${sheet.region}`, messageFaults(wire.SheetSchema, sheet));
  return sheets;
}
