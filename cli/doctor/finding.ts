/** What a doctor finds. */
import { printable } from "../../upload/mod.ts";
import { columns } from "../table.ts";

/** "bad": something is lost, stands still or is attacked, or is one step from it; "warn": somebody should look. */
export type Level = "ok" | "warn" | "bad";

/** One line of the report. */
export interface Finding {
  level: Level;
  /** Of what it speaks, and how that is. */
  what: string;
  /** Why, and what to do. */
  why: string;
}

/** A finding; texts from elsewhere are made fit for a terminal. */
export function finding(level: Level, what: string, ...why: (string | undefined)[]): Finding {
  return { level, what: printable(what), why: printable(why.filter(Boolean).join("; ")) };
}

/** The report: what is bad first, then what to look at, then what is well; each in the order of the checks. */
export function report(findings: readonly Finding[]): string[] {
  const order: Level[] = ["bad", "warn", "ok"];
  const sorted = findings.toSorted((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
  return columns([], sorted.map(({ level, what, why }) => [level, `${what}${why && `  (${why})`}`]));
}
