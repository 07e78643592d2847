/**
 * GET and HEAD of an object, from its path to its answer, as a table of named steps:
 *
 *     lookup ── condition ── select ── respond
 *
 * Whichever door the request came by: the answer is plain data.
 */
import { badRequest, CdnError, type Manifest } from "../../proto/mod.ts";
import { isLive, type Parts } from "../parts.ts";
import { notFound } from "../write.ts";
import { checkPreconditions, type RequestFields, type Validators, validatorsOf } from "./conditional.ts";
import { type ContentAnswer, contentAnswer, notModified, selectParts } from "./content.ts";
import type { Selection } from "./range.ts";

type Step = "lookup" | "condition" | "select" | "respond" | "done";

/** What is asked for. */
export interface Reading {
  method: "GET" | "HEAD";
  /** The object's path, decoded and checked. */
  path: string;
  headers: RequestFields;
}

/** What the steps know so far. */
class Read {
  /** The object; set by `lookup`. */
  manifest!: Manifest;
  /** What the store holds, where the object is a newer version whose body is not here. */
  older: Manifest | null = null;
  validators!: Validators;
  /** Which part of it; set by `select`. */
  selection: Selection = { kind: "whole" };
  answer: ContentAnswer | null = null;

  constructor(readonly asked: Reading, readonly parts: Parts) {}
}

const steps: Record<Exclude<Step, "done">, (read: Read) => Step | Promise<Step>> = {
  async lookup(read): Promise<Step> {
    const { asked: { path }, parts: { store, cluster } } = read;
    const newer = cluster.wanted(path);
    const held = await store.get(path);
    const manifest = newer ?? held;
    if (!isLive(manifest)) throw notFound(path, manifest);
    read.older = newer && isLive(held) ? held : null;
    read.manifest = manifest;
    read.validators = validatorsOf(manifest);
    return "condition";
  },

  condition(read) {
    const { asked: { method, headers }, manifest, validators, parts } = read;
    switch (checkPreconditions(method, headers, validators)) {
      case "go":
        return "select";
      case "not-modified":
        read.answer = notModified(manifest, validators, parts);
        return "done";
      case "failed":
        throw badRequest("The object is not what the precondition says", {
          status: 412,
          headers: { etag: validators.etag },
        });
    }
  },

  select(read) {
    const { asked, manifest, validators, parts } = read;
    read.selection = selectParts(asked, manifest, validators, parts);
    return "respond";
  },

  async respond(read): Promise<Step> {
    const { asked, manifest, older, validators, selection, parts } = read;
    try {
      read.answer = await contentAnswer(asked.method, manifest, validators, selection, parts);
    } catch (error) {
      // What is newer and cannot be had now hides nothing that is here.
      if (!older || !(error instanceof CdnError && error.status === 503)) throw error;
      read.manifest = older;
      read.validators = validatorsOf(older);
      read.older = null;
      return "condition";
    }
    return "done";
  },
};

/**
 * Answers a GET or a HEAD of an object.
 * @throws {CdnError} 404, 412, 416; 503 where the body cannot be had.
 */
export async function readObject(asked: Reading, parts: Parts): Promise<ContentAnswer> {
  const read = new Read(asked, parts);
  for (let at: Step = "lookup"; at !== "done";) {
    const next: Step | Promise<Step> = steps[at](read);
    at = typeof next === "string" ? next : await next;
  }
  if (!read.answer) throw new CdnError("The steps ended without an answer", { source: "server" });
  return read.answer;
}
