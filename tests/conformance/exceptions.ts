/** The required and optimal tests that our edge does not pass, each with its reason. */

const age =
  "RFC 9111 §5.1: of several Age values the first counts, and an invalid one is ignored; the suite, which is " +
  "older, wants the response to be stale. Its later versions agree with the RFC.";
const closed =
  "The origin closes the connection, and we answer with an error as RFC 9111 §5.2.2.2 has it. The suite takes an answer " +
  "that did not come from the origin for a stored one; its later versions do not.";
const surrogate = "Surrogate-Control is of the Edge Architecture of 2001; we read CDN-Cache-Control (RFC 9213).";
const cookie = "A Set-Cookie is one viewer's: it is stored only where public or s-maxage says that all may share it.";
const part =
  "The suite's 206 says bytes 4-9, which are six, and has five. What is broken is passed on and not built on " +
  "(RFC 9110 §8.6, §14.4); parts that are whole are stored, reused and completed (edge_test.ts).";

/** Reasons by the id of a test. */
export const exceptions: Readonly<Record<string, string>> = {
  "age-parse-nonnumeric": age,
  "age-parse-negative": age,
  "age-parse-float": age,
  "age-parse-prefix-twoline": age,
  "age-parse-dup-0": age,
  "age-parse-dup-0-twoline": age,
  "age-parse-dup-old": age,
  "age-parse-parameter": age,
  "age-parse-numeric-parameter": age,
  "stale-close-must-revalidate": closed,
  "stale-close-proxy-revalidate": closed,
  "stale-close-no-cache": closed,
  "stale-close-s-maxage=2": closed,
  "method-POST":
    "Answers to POST are not stored. RFC 9110 §9.3.3 allows it, nothing asks for it, and few origins mean it.",
  "vary-normalise-lang-select": "RFC 9111 §4.1 forbids it: `en, de` and `fr;q=0.5, de` do not mean the same.",
  "vary-normalise-space":
    "Only of fields that we know is it known where whitespace means nothing (RFC 9111 §4.1); this one is unknown.",
  "conditional-lm-fresh-no-lm":
    "RFC 9111 §4.3.2: without Last-Modified the Date counts, and it is later than what the request has: 200 is right.",
  "headers-store-Set-Cookie": cookie,
  "headers-store-Set-Cookie2": cookie,
  "304-etag-update-response-Set-Cookie": cookie,
  "304-etag-update-response-Set-Cookie2": cookie,
  "other-set-cookie": cookie,
  "headers-store-Transfer-Encoding":
    "A transfer coding that nobody knows cannot be taken off: 502, and the connection to the origin is closed.",
  "304-etag-update-response-ETag":
    "RFC 9111 §4.3.4: a 304 with another strong validator is not about what is stored; it is asked for anew.",
  "partial-store-partial-reuse-partial": part,
  "partial-store-partial-reuse-partial-byterange": part,
  "partial-store-partial-reuse-partial-absent": part,
  "partial-store-partial-reuse-partial-suffix": part,
  "partial-store-partial-complete":
    "The 206 has another part than was asked for, and no validator: RFC 9110 §15.3.7.3 forbids to put it together with more.",
  ...Object.fromEntries(
    [
      "max-age",
      "max-age-max",
      "max-age-max-plus",
      "max-age-me-target",
      "max-age-other-target",
      "max-age-age",
      "max-age-0",
      "max-age-extension",
      "max-age-case-insensitive",
      "max-age-expires",
      "max-age-cc-max-age-invalid-expires",
      "max-age-0-expires",
      "max-age-short-cc-max-age",
      "max-age-long-cc-max-age",
      "no-store-cc-fresh",
      "fresh-cc-nostore",
    ].map((name) => [`surrogate-${name}`, surrogate]),
  ),
};
