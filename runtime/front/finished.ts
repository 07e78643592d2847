/**
 * Finished answers as they stand in time: Date, Age and Expires are written into their bytes, once a second at most.
 *
 * The same bytes may be on their way to somebody else meanwhile. What a connection has sent cannot be torn, nor what it
 * has yet to send behind the head; but where it stands in the middle of the head (its socket was full), a Date written
 * now would be half of one time and half of another. So writers are counted until they are past the head, and while
 * there is one, its bytes stay: whoever comes later gets a copy.
 */
import type { Finished } from "./application.ts";
import { httpDate, put } from "./answer.ts";

/** Answers longer than this are not copied whole where their bytes must stay, but their heads are: two writes. */
const MOST_COPIED = 256 * 1024;

/** The bytes of a finished answer in some second. */
export class Sheet {
  /** How many write them who are not past the head. */
  writers = 0;
  /** The second that they tell. */
  second = -1;

  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {}
}

const sheets = new WeakMap<Finished, Sheet>();

/** The bytes that tell the time; null where nobody may write to them now and they are too long to be copied. */
export function sheetOf(finished: Finished, nowMs: number): Sheet | null {
  let sheet = sheets.get(finished);
  if (sheet === undefined) sheets.set(finished, sheet = new Sheet(finished.bytes));
  const second = Math.floor(nowMs / 1000);
  if (sheet.second === second) return sheet;
  if (sheet.writers > 0) {
    if (finished.bytes.length > MOST_COPIED) return null;
    sheets.set(finished, sheet = new Sheet(sheet.bytes.slice()));
  }
  writeTimes(finished, sheet.bytes, nowMs);
  sheet.second = second;
  return sheet;
}

/**
 * Copies an answer that tells the time; returns the place after it.
 * @param body whether that too
 * @param end of the head: its last field, and the empty line
 */
export function copyFinished(
  finished: Finished,
  nowMs: number,
  into: Uint8Array,
  at: number,
  { body, end }: { body: boolean; end: string },
): number {
  const { bytes, headLength } = finished;
  const copy = into.subarray(at);
  copy.set(bytes.subarray(0, headLength - 2));
  writeTimes(finished, copy, nowMs);
  at = put(end, into, at + headLength - 2);
  if (!body) return at;
  into.set(bytes.subarray(headLength), at);
  return at + bytes.length - headLength;
}

function writeTimes(
  { dateAt, ageAt, bornMs, expiresAt = -1, lifetimeMs = 0 }: Finished,
  head: Uint8Array,
  nowMs: number,
): void {
  if (dateAt >= 0) put(httpDate(nowMs), head, dateAt);
  if (ageAt >= 0) {
    let age = Math.max(0, Math.floor((nowMs - bornMs) / 1000));
    for (let at = ageAt + 9; at >= ageAt; at--) {
      head[at] = 48 + age % 10;
      age = Math.floor(age / 10);
    }
  }
  if (expiresAt >= 0) put(new Date(nowMs + lifetimeMs).toUTCString(), head, expiresAt);
}
