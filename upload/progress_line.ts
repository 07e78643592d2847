/** Progress as a line for people. Pure. */
import { format as formatBytes } from "@std/fmt/bytes";
import type { UploadProgress } from "./upload.ts";

/** `photo.jpg  [#######-------]  51%  12.3 MB of 24 MB  3.1 MB/s  0:04 left`, at most `width` characters. */
export function progressLine(
  name: string,
  { phase, bytes, size }: UploadProgress,
  { perSecond, secondsLeft, width }: { perSecond: number | null; secondsLeft: number | null; width: number },
): string {
  const parts: string[] = [];
  if (size !== null) parts.push(`${String(Math.floor(size > 0 ? bytes / size * 100 : 100)).padStart(3)}%`);
  parts.push(size === null ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(size)}`);
  if (phase === "sending" && perSecond !== null) parts.push(`${formatBytes(perSecond)}/s`);
  if (phase === "sending" && secondsLeft !== null) parts.push(`${clock(secondsLeft)} left`);
  if (phase !== "sending") parts.push(phase);
  const tail = parts.join("  ");
  const room = width - tail.length - 4;
  if (room < 8) return tail.slice(0, width);
  const label = printable(name).slice(0, Math.max(4, Math.min(40, room - 12)));
  const bar = size === null ? 0 : Math.min(30, room - label.length - 4);
  if (bar < 4) return `${label}  ${tail}`.slice(0, width);
  const filled = Math.min(bar, Math.floor(size ? bytes / size * bar : bar));
  return `${label}  [${"#".repeat(filled)}${"-".repeat(bar - filled)}]  ${tail}`;
}

/** `0:04`, `12:30`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.min(Math.ceil(seconds), 359_999);
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Text that a terminal shows and does not obey. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "?");
}
