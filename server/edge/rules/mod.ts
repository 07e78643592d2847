/**
 * What RFC 9111 (HTTP Caching) and its companions say, as pure functions over plain data: RFC 9110 §13 (conditions),
 * RFC 5861 (stale answers), RFC 9211 (Cache-Status), RFC 9213 (targeted fields), RFC 8246 (immutable). Names of fields
 * are in lower case everywhere; times are milliseconds since 1970. Sections without a number of an RFC are of RFC 9111.
 *
 *     storage -> what may be kept, and what of it      decide -> serve, validate, or ask
 *     conditions -> what a viewer has already          validate, freshen -> what a 304 or a HEAD says
 *     request_fields -> what an origin gets to see     invalidate -> what a write makes stale
 */
export type { Lines, ReceivedHead, RequestHead, RuleSettings, Times } from "./types.ts";
export { decide, type Decision } from "./decide.ts";
export { judgeStorage, toStored } from "./storage.ts";
export { tagFields, withheldOf } from "./stored_fields.ts";
export { variedOf } from "./vary.ts";
export { comparedWithHead, freshenedBy, sameRepresentation, validationFields } from "./validate.ts";
export { freshen } from "./freshen.ts";
export { invalidatedBy } from "./invalidate.ts";
export { ageOf, alwaysValidates, answerFields, freshUntil, isUnshared } from "./freshness.ts";
export { conditionOf, rangeHolds } from "./conditions.ts";
export { parseContentRange, type Part } from "./content_range.ts";
export { conditions, normalised, originConditions } from "./request_fields.ts";
export { cacheStatus, type Handling } from "./cache_status.ts";
export { isNoStore, isOnlyIfCached } from "./request_directives.ts";
