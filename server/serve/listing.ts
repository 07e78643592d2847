/** `GET /` and `GET /-/v1/objects`: which objects there are, page by page, as HTML or as a message. */
import { create } from "@bufbuild/protobuf";
import { accepts } from "@std/http/negotiation";
import { badRequest, type Manifest, manifestToWire, wire } from "../../proto/mod.ts";
import { messageResponse } from "../../runtime/message.ts";
import { pageResponse } from "../../runtime/page.ts";
import type { Store } from "../store/store.ts";
import { listingPage } from "./page.ts";

/** One page of objects by path. */
export interface ObjectPage {
  prefix: string;
  after: string;
  limit: number;
  objects: Manifest[];
  /** Hand it back as `after` to get what follows; empty on the last page. */
  next: string;
}

/** Objects of a page unless the query says otherwise, and the most that it may ask for. */
export const PAGE = 100;
const MOST = 1000;
/** Objects read from the store at once. */
const STEP = 100;
/** A page ends where its objects' text passes this many characters: each may carry 64 pairs of 1024. */
const PAGE_TEXT = 1 << 20;

/**
 * Reads `?prefix=&after=&limit=` and lists. A page of objects with much metadata is shorter than its limit, so that
 * no page takes much memory; `next` tells that there is more.
 * @throws {CdnError} 400 for a limit or a prefix that cannot be.
 */
export async function listObjects(store: Store, query: URLSearchParams): Promise<ObjectPage> {
  const limitText = query.get("limit") ?? String(PAGE);
  const limit = Number(limitText);
  if (!/^\d{1,4}$/.test(limitText) || limit < 1 || limit > MOST) {
    throw badRequest(`The limit must be a whole number from 1 to ${MOST}`);
  }
  const prefix = pathText(query, "prefix");
  const after = pathText(query, "after");
  const objects: Manifest[] = [];
  let more = true;
  for (let text = 0; more && objects.length < limit && text < PAGE_TEXT;) {
    const from = objects.at(-1)?.path ?? after;
    const step = await store.list({ by: "path", prefix, after: from, limit: Math.min(STEP, limit - objects.length) });
    for (const { manifest } of step.entries) {
      objects.push(manifest);
      text += textOf(manifest);
    }
    more = step.more;
  }
  return { prefix, after, limit, objects, next: more ? objects.at(-1)!.path : "" };
}

/** A page as `ObjectList`, in the encoding that the request accepts. */
export function listResponse(request: Request, { objects, next }: ObjectPage): Response {
  const list = create(wire.ObjectListSchema, { objects: objects.map(manifestToWire), next });
  return messageResponse(request, wire.ObjectListSchema, list);
}

/** A page for whoever asks: HTML where it is preferred (browsers do), else a message. */
export function indexResponse(request: Request, page: ObjectPage, serverId: string): Response {
  const type = accepts(request, "application/json", "application/protobuf", "text/html");
  if (type !== "text/html") return listResponse(request, page);
  return pageResponse(request, listingPage(page, serverId));
}

/** About how long an object's text is. */
function textOf({ path, name, meta }: Manifest): number {
  let length = path.length + name.length;
  for (const key in meta) length += key.length + meta[key]!.length;
  return length;
}

function pathText(query: URLSearchParams, name: string): string {
  const text = query.get(name) ?? "";
  if (text.length > 4096 || /\p{Cc}/u.test(text) || !text.isWellFormed()) {
    throw badRequest(`The ${name} must be (the beginning of) a path`);
  }
  return text;
}
