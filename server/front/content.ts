/** A content server as its front asks it: {@link contentFront}. */
import { decodePath, OWN_PREFIX } from "../../proto/mod.ts";
import { type Answered, type Application, finish, type FrontRequest } from "../../runtime/front/mod.ts";
import { fieldOf } from "../../runtime/http1/lines.ts";
import { isLive, type Parts } from "../parts.ts";
import { validatorsOf } from "../serve/conditional.ts";
import { contentAnswered, notModified, readWhole, wholeFields } from "../serve/content.ts";
import type { Made } from "../serve/hot_answers.ts";
import { readObject } from "../serve/read.ts";

/** Room for a head, in what an answer is reckoned to take. */
const HEAD_BYTES = 600;

/**
 * GET and HEAD of objects: those that are asked for often as finished answers, all others from the store. The listing,
 * and what is below /-/, is for `Deno.serve`.
 *
 * No answer varies by a field: the finished one is for everybody. A GET needs no token.
 */
export function contentFront(parts: Parts): Application {
  const { store, cluster, hot, answers, policy } = parts;

  async function answer(request: FrontRequest): Promise<Answered> {
    const { method, target, pathAndQuery, fields } = request;
    const path = decodePath(target.path);
    const content = await readObject({ method, path, headers: { get: (name) => fieldOf(fields.lines, name) } }, parts);
    if (content.status === 200 && content.body !== null) {
      const size = Number(fieldOf(content.fields, "content-length"));
      answers.asked(pathAndQuery, path, size + HEAD_BYTES, () => make(path));
    }
    return contentAnswered(content);
  }

  /** The finished answer to who asks for the whole of a path. */
  async function make(path: string): Promise<Made | null> {
    if (cluster.wanted(path)) return null;
    const manifest = await store.get(path);
    if (!isLive(manifest)) return null;
    const { sha256, size } = manifest;
    let body = hot.get(sha256);
    if (!body) {
      const opened = await store.open(sha256);
      if (!opened) return null;
      body = await readWhole(opened.stream, size);
    }
    const validators = validatorsOf(manifest);
    const { etag } = validators;
    const { maxAgeSeconds } = policy(path);
    const lifetimeMs = maxAgeSeconds === null ? null : maxAgeSeconds * 1000;
    const finished = finish(200, wholeFields(manifest, validators, parts), body, {
      etag,
      lifetimeMs,
      notModified: finish(304, notModified(manifest, validators, parts).fields, null, { etag, lifetimeMs }),
    });
    hot.drop(sha256);
    return { sha256, finished };
  }

  return {
    hot(_method, target) {
      const entry = answers.get(target);
      // A newer version may be known whose body is not here yet.
      return entry === null || cluster.wanted(entry.path) !== null ? null : entry.finished;
    },
    answer(request) {
      const { path } = request.target;
      return path === "/" || path.startsWith(OWN_PREFIX) ? null : answer(request);
    },
  };
}
