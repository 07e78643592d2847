/** Errors as answers: `application/problem+json` (RFC 9457). */
import { STATUS_TEXT } from "@std/http/status";
import { CdnError } from "../proto/mod.ts";
import type { Logger } from "./log.ts";

/** A problem as plain data. */
export interface Problem {
  status: number;
  headers: Record<string, string>;
  /** JSON. */
  body: string;
}

/** The answer for an error; an error that is none of ours is a 500 and is logged with its stack. */
export function problemResponse(error: unknown, log: Logger): Response {
  const { status, headers, body } = problemOf(error, log);
  return new Response(body, { status, headers });
}

/** The same as plain data. */
export function problemOf(error: unknown, log: Logger): Problem {
  if (!(error instanceof CdnError)) {
    log.error("unexpected error", { error });
    return problem(500, { detail: "Something unexpected went wrong here; the log has the particulars" });
  }
  // Who asks origins says once that one is out, and not with every request that it costs.
  const level = error.status < 500 ? null : error.source === "origin" ? "debug" : "warn";
  if (level) log[level](error.message, error.cause ? { cause: error.cause } : {});
  return problem(error.status, {
    detail: error.message,
    ...(error.fields.length ? { errors: error.fields } : {}),
    ...(error.retry ? { retry: true } : {}),
  }, {
    ...error.headers,
    ...(error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) }),
  });
}

function problem(status: number, members: Record<string, unknown>, headers: Record<string, string> = {}): Problem {
  const body = { type: "about:blank", title: STATUS_TEXT[status] ?? "Error", status, ...members };
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
    body: JSON.stringify(body) + "\n",
  };
}
