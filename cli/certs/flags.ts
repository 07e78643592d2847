/** What several actions share: flags, and how they count days. */
import { type CertificateFacts, checkFree, defaultLife } from "../../certs/mod.ts";
import { listFlag, numberFlag, stringFlag, UsageError } from "../../runtime/flags.ts";
import { checkServerId } from "../../certs/names.ts";

/** Milliseconds of a day. */
export const DAY_MS = 86_400_000;

/** Whole days until it expires; negative once it has. */
export function daysLeft({ notAfterMs }: CertificateFacts, nowMs: number): number {
  return Math.floor((notAfterMs - nowMs) / DAY_MS);
}

/** Where certificates are kept. */
export const dirFlag = stringFlag("DIR", "./.metacdn/certs", "the folder with the authority and the certificates");

/** How long a server's certificate is to live. */
export const daysFlag = numberFlag("N", defaultLife.server / DAY_MS, "how long the certificate lives, in days", {
  least: 1,
  most: 3650,
});

/** Names, with commas between them or the flag repeated. */
export const namesFlag = (help: string) => listFlag("HOST[,HOST]…", help);

/** The names of a {@link namesFlag}. */
export function namesOf(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => text.split(",")).map((name) => name.trim()).filter(Boolean))];
}

/** The one id on the command line. */
export function idOf(args: readonly string[]): string {
  const [id, second] = args;
  if (second !== undefined) throw new UsageError(`"${second}" is one word too many: one ID at a time`);
  return checkFree(checkServerId(id!));
}
