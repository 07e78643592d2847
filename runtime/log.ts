/** Logs: one line an event on standard error, as text for people or as JSON for machines. */

/** How much is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
/** The form of a line. */
export type LogFormat = "text" | "json";
/** Named values beside the message. */
export type LogFields = Record<string, unknown>;

/** What the parts of a program write their events to. */
export interface Logger {
  /** For finding a fault. */
  debug(message: string, fields?: LogFields): void;
  /** What an operator wants to know has happened. */
  info(message: string, fields?: LogFields): void;
  /** What went wrong and was dealt with. */
  warn(message: string, fields?: LogFields): void;
  /** What went wrong and was not. */
  error(message: string, fields?: LogFields): void;
}

const LEVELS: LogLevel[] = ["debug", "info", "warn", "error", "silent"];

/** A logger that writes lines through `write` (standard error unless told). */
export function createLogger({
  level = "info",
  format = "text",
  program = "metacdn",
  now = Date.now,
  write = (line: string): void => console.error(line),
}: { level?: LogLevel; format?: LogFormat; program?: string; now?: () => number; write?: (line: string) => void } =
  {}): Logger {
  const least = LEVELS.indexOf(level);
  const at = (name: LogLevel) => {
    if (LEVELS.indexOf(name) < least) return () => {};
    return (message: string, fields: LogFields = {}) => {
      const time = new Date(now()).toISOString();
      write(
        format === "json"
          ? oneLine(toJson({ time, level: name, program, message, ...plainFields(fields) }))
          : oneLine(`${time} ${name.toUpperCase().padEnd(5)} ${program}: ${message}${textFields(fields)}`),
      );
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Says nothing: for tests and for the library's default. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

function plainFields(fields: LogFields): LogFields {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? String(value);
  return value;
}

/** A log must not throw, whatever it is given. */
function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, (_, inner) => typeof inner === "bigint" ? inner.toString() : inner) ?? "null";
  } catch {
    // A circle: the plain values are kept.
    const flat = Object.entries(value as object).map(([name, inner]) => [name, String(inner)]);
    return JSON.stringify(Object.fromEntries(flat));
  }
}

/** One line whatever it holds: what a terminal or a log reader might obey is escaped as in JSON. */
function oneLine(line: string): string {
  return line.replaceAll(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function textFields(fields: LogFields): string {
  return Object.entries(fields).map(([name, value]) => {
    const words = value instanceof Error ? (value.stack ?? String(value)) : value;
    const plain = typeof words === "string" && /^[\w./:@+-]+$/.test(words);
    return ` ${name}=${plain ? words : toJson(plainValue(words))}`;
  }).join("");
}
