/** What is wrong with a story: by the model of RFC 9111, and by what any cache owes to those who trust it. */
import type { Selection } from "../../../server/edge/cache/cache.ts";
import { forbidden, isVague, mayBeNotModified } from "./model.ts";
import type { Exchange, Field } from "./model.ts";
import { contract, type Story, type Told, type Viewer } from "./story.ts";
import { contentOf, etagOf, modifiedOf, type Representation } from "./story_origin.ts";

/** How the answers of stories came about. */
export interface Count {
  stored: number;
  hot: number;
  shared: number;
  own: number;
  parts: number;
  failed: number;
}

/** Why the answers of a story must not be; empty where all is well. `loses`: the cache may lose what it has. */
export function wrongIn(story: Story, { loses }: { loses: boolean }, count: Count): string[] {
  return story.viewers.flatMap((viewer) => {
    const why = wrongWith(story, viewer, loses, count);
    return why === null ? [] : [`viewer ${viewer.number}: ${why}`];
  });
}

function wrongWith(story: Story, viewer: Viewer, loses: boolean, count: Count): string | null {
  if (viewer.left) return null;
  if (viewer.answered === Infinity) return "never got an answer";
  if (viewer.body === "open") return "its body never ended";
  const { asked, status } = viewer;
  const failed = story.exchanges.some((exchange) =>
    exchange.asked.target === asked.target && exchange.failed && exchange.came > viewer.began &&
    exchange.came < viewer.answered
  );
  const wish = value(asked.fields, "cache-control");
  if (viewer.status === 0) {
    count.failed++;
    return failed || wish === "only-if-cached" ? null : `an error where no origin failed: ${viewer.error}`;
  }
  const applied = story.exchanges.filter(({ number }) => value(viewer.fields, `x-of-${number}`) !== null)
    .sort((a, b) => a.came - b.came);
  const [base] = applied;
  if (!base) return mayBeUnsatisfiable(story, viewer);
  const last = applied.at(-1)!;
  if (last.came > viewer.answered) return "it knows the future";
  const fidelity = isFaithful(story, viewer, applied, loses, count);
  if (fidelity) return fidelity;
  if (asked.method !== "GET" && asked.method !== "HEAD") return null;

  const completed = story.exchanges.some((exchange) =>
    exchange.by === viewer && exchange.sent < viewer.answered && value(exchange.asked.fields, "range") !== null
  );
  if (wish === "only-if-cached" && completed && !loses) return "§5.2.1.7: the origin was asked for a part";

  const made = Math.max(...applied.map((exchange) => exchange.made));
  const outdated = isOutdated(story, viewer, applied, made, failed);
  if (outdated) return outdated;
  if (applied.some(({ by }) => by === viewer)) {
    count.own++;
    if (wish === "only-if-cached") return "§5.2.1.7: the origin was asked";
    return status === 304 && base.status !== 304 && !mayBeNotModified(asked.fields, current(applied))
      ? "RFC 9110 §13: a 304 that no condition asks for"
      : null;
  }
  const shared = last.sent > viewer.began;
  count[shared ? "shared" : viewer.hot ? "hot" : "stored"]++;
  // What came after it had been asked for may be known to its answer, and need not be. What was written, only to those
  // who ask when that is done.
  const history = [...story.exchanges].sort((a, b) => a.came - b.came).filter((exchange) => {
    if (exchange.asked.method !== "GET" && exchange.asked.method !== "HEAD") {
      return isDone(exchange, viewer);
    }
    if (exchange === base || applied.includes(exchange)) return true;
    return exchange.status !== 304 || (exchange.came < viewer.began && !exchange.left);
  });
  // It was decided about at some moment until it was answered.
  const moments = story.times.filter((ms) => ms >= viewer.beganMs && ms <= viewer.answeredMs);
  let why: string | null = "never";
  for (const atMs of moments) {
    for (const originFailed of failed ? [false, true] : [false]) {
      const { status } = viewer;
      const fields = [...viewer.fields, ...firstOfSeveral(viewer, base)];
      const short = viewer.body !== "whole" || asked.method === "HEAD";
      const served = { asked, atMs, base, status, fields, originFailed, shared, short, updates: applied.slice(1) };
      why = forbidden(history, served, contract);
      if (why === null) return null;
    }
  }
  return why;
}

/** Of several parts the model is told of the first; that all are right is known by now. */
function firstOfSeveral({ asked, status, fields }: Viewer, { body }: Told): Field[] {
  if (status !== 206 || value(fields, "content-range") !== null) return [];
  const [start, end] = rangesOf(value(asked.fields, "range")!, body!.length)[0]!;
  return [["content-range", `bytes ${start}-${end - 1}/${body!.length}`]];
}

/** Headers and bytes are those of one representation. */
function isFaithful(
  story: Story,
  viewer: Viewer,
  applied: readonly Told[],
  loses: boolean,
  count: Count,
): string | null {
  const base = applied[0]!;
  const { asked, status, fields, bytes } = viewer;
  const { body } = base;
  if (asked.method !== "GET" && asked.method !== "HEAD") {
    return base.by === viewer && status === base.status ? null : "§4: an unsafe request was not written through";
  }
  if (base.asked.target !== asked.target) return "another target";
  if (!body) return "it has no representation";
  for (
    const [name, right] of [
      ["x-representation", String((applied.some(isVague) ? applied.at(-1)! : base).body?.number)],
      ["etag", etagOf(body)],
      ["last-modified", modifiedOf(body)],
    ] as const
  ) {
    if (value(fields, name) !== right) return `its ${name} is not that of its body`;
  }
  const told = value(fields, "content-length");
  if (status === 304 || asked.method === "HEAD") {
    if (bytes.length > 0) return "a body that must not be";
    return asked.method === "HEAD" && status === 200 && told !== null && told !== String(body.length)
      ? "another length"
      : null;
  }
  let content: Uint8Array | string = contentOf(body);
  if (status === 206) {
    count.parts++;
    content = partOf(viewer, body);
    if (typeof content === "string") return content;
  } else if (value(fields, "content-range") !== null && status !== 416) return "no part, and a Content-Range";
  if (viewer.body === "whole" && (told ?? String(bytes.length)) !== String(bytes.length)) {
    return "another Content-Length";
  }
  if (viewer.body === "whole" && content.length !== bytes.length) {
    return `${bytes.length} bytes in place of ${content.length}`;
  }
  if (content !== bytes && told !== null && told !== String(content.length)) {
    return `Content-Length ${told} in place of ${content.length}`;
  }
  if (!isSame(bytes, content.subarray(0, bytes.length))) return "other bytes than those of its representation";
  if (viewer.body !== "broke") return null;
  // Nobody can ask for the rest of what has no strong validator, once a purge or a write took it away.
  const goes = story.purges.length > 0 || story.exchanges.some(({ asked }) => asked.method === "POST");
  const mayLose = loses || (goes && !/^(strong|both)$/.test(body.validator));
  const mayBreak = mayLose ||
    story.exchanges.some((exchange) =>
      exchange.asked.target === asked.target && (exchange.failed || exchange.broke || exchange.body !== body)
    );
  return mayBreak ? null : `the body broke off without a reason: ${viewer.error}`;
}

/** The bytes of a 206 as they must be; a text where it must not be. */
function partOf({ asked, fields, bytes, body }: Viewer, representation: Representation): Uint8Array | string {
  const content = contentOf(representation);
  const asks = rangesOf(value(asked.fields, "range") ?? "", content.length);
  if (asks.length === 0) return "a part that was not asked for";
  const starts = asks.map(([start]) => start);
  const ends = asks.map(([, end]) => end);
  const boundary = /^multipart\/byteranges; *boundary="?([^"]+)"?$/.exec(value(fields, "content-type") ?? "")?.[1];
  const parts: [number, number][] = [];
  const part = (text: string) => {
    const match = /bytes (\d+)-(\d+)\/(\d+)/.exec(text)?.slice(1).map(Number);
    if (!match || match[2] !== content.length) return null;
    parts.push([match[0]!, match[1]! + 1]);
    return content.subarray(match[0]!, match[1]! + 1);
  };
  let whole: Uint8Array | null = bytes;
  if (boundary === undefined) whole = part(value(fields, "content-range") ?? "");
  else if (body === "whole") {
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    for (let at = 0; !text.startsWith(`\r\n--${boundary}--`, at);) {
      const head = /^(?:\r\n)?--[^\r]+\r\n(?:[^\r]+\r\n)*\r\n/.exec(text.slice(at, at + 500))?.[0];
      const expected = head ? part(head) : null;
      if (!head || !expected) return "multipart/byteranges that cannot be read";
      at += head.length;
      if (!isSame(bytes.subarray(at, at + expected.length), expected)) return "other bytes in one of several parts";
      at += expected.length;
    }
  }
  if (!whole) return "a part that does not say which";
  if (parts.some(([start, end]) => !starts.includes(start) || !ends.includes(end))) {
    return "another part than asked for";
  }
  const all = asks.every(([start, end]) => parts.some(([from, to]) => from <= start && end <= to));
  return all || boundary !== undefined && body !== "whole" ? whole : "less than was asked for";
}

/** What a Range field asks for of a length, as far as that is there. */
function rangesOf(field: string, length: number): [number, number][] {
  return field.replace("bytes=", "").split(",").flatMap((spec): [number, number][] => {
    const [first, last] = spec.trim().split("-") as [string, string];
    const start = first === "" ? Math.max(0, length - Number(last)) : Number(first);
    const end = first === "" || last === "" ? length : Math.min(length, Number(last) + 1);
    return start < end ? [[start, end]] : [];
  });
}

/** A 416 of the edge's own: of a representation that came, the range is not there. */
function mayBeUnsatisfiable(story: Story, { asked, status, fields }: Viewer): string | null {
  const length = /^bytes \*\/(\d+)$/.exec(value(fields, "content-range") ?? "")?.[1];
  const range = value(asked.fields, "range");
  if (status !== 416 || length === undefined || range === null) return "it is no answer of the origin";
  const lengths = story.exchanges.map(({ body }) => String(body?.length));
  return lengths.includes(length) && rangesOf(range, Number(length)).length === 0 ? null : "a 416 that is not true";
}

/** It was true only before something that it must know: a write that was done, a purge. */
function isOutdated(
  { purges, exchanges }: Story,
  viewer: Viewer,
  applied: readonly Told[],
  made: number,
  failed: boolean,
): string | null {
  const { asked: { target }, began } = viewer;
  const written = exchanges.some((exchange) =>
    exchange.made > made && isDone(exchange, viewer) && exchange.status >= 200 && exchange.status < 400 &&
    exchange.asked.method !== "GET" && exchange.asked.method !== "HEAD" &&
    (exchange.asked.target === target || value(exchange.fields, "location") === target)
  );
  if (written) return "it is from before a write that was done";
  const tags = value(
    applied.findLast(({ fields }) => value(fields, "surrogate-key") !== null)?.fields ?? [],
    "surrogate-key",
  );
  const purge = purges.find(({ selection, soft, began: from, done }) =>
    from > made && done < began && (!soft || !failed) && means(selection, target, tags)
  );
  return purge ? `it is from before a ${purge.soft ? "soft " : ""}purge` : null;
}

/** The writer has his answer before somebody asks. */
function isDone({ by, came, failed }: Told, { began }: Viewer): boolean {
  return by.answered < began && came < Infinity && !failed;
}

function means({ keys, prefixes, tags }: Selection, target: string, tag: string | null): boolean {
  return keys.includes(target) || prefixes.some((prefix) => target.startsWith(prefix)) ||
    (tag !== null && tags.includes(tag));
}

/** The fields as the updates have made them. */
function current(applied: readonly Exchange[]): Field[] {
  return applied.reduce<Field[]>(
    (before, { fields }) => [...before.filter(([name]) => !fields.some(([other]) => other === name)), ...fields],
    [],
  );
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}

function value(fields: readonly Field[], wanted: string): string | null {
  const values = fields.filter(([name]) => name === wanted).map(([, value]) => value.trim());
  return values.length === 0 ? null : values.join(", ");
}
