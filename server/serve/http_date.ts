/** Dates in HTTP fields (RFC 9110 §5.6.7). */
import { memo } from "./memo.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const FORMS = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  // Sunday, 06-Nov-94 08:49:37 GMT
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  // Sun Nov  6 08:49:37 1994
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

/** Milliseconds since 1970 of a date in any of the three forms; null for anything else. */
export const parseHttpDate: (text: string) => number | null = memo(parse);

function parse(text: string): number | null {
  for (const form of FORMS) {
    const { day, month, year, time } = form.exec(text.trim())?.groups ?? {};
    if (!day || !month || !year || !time) continue;
    const [hour, minute, second] = time.split(":").map(Number) as [number, number, number];
    const at = MONTHS.indexOf(month);
    // Two digits: RFC 9110 puts those that would be far ahead into the last century; 70 to 99 suffices for us.
    const fullYear = year.length === 4 ? Number(year) : Number(year) + (Number(year) >= 70 ? 1900 : 2000);
    if (at < 0 || Number(day) < 1 || Number(day) > 31 || hour > 23 || minute > 59 || second > 60) return null;
    return Date.UTC(fullYear, at, Number(day), hour, minute, second);
  }
  return null;
}

const textOfSecond = memo((second: number) => new Date(second * 1000).toUTCString());

/** The preferred form: `Sun, 06 Nov 1994 08:49:37 GMT`; parts of a second are dropped. */
export function formatHttpDate(ms: number): string {
  return textOfSecond(Math.floor(ms / 1000));
}
