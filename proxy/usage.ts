/**
 * What left which server through this proxy: cumulative counts by month, as `UsageReport` wants them. A count
 * that is sent twice changes nothing at a pricing server, so each of them is told, a report whose answer was lost is
 * sent again, and one that was away is told all of it when it is back: then no count is at one machine alone.
 */
import { create } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";
import type { PlaceOf } from "./prices.ts";

interface Month {
  counts: Map<string, { place: PlaceOf; bytes: number }>;
  /** Grows with each count. */
  revision: number;
  /** The revision that each pricing server has, by its URL. */
  sent: Map<string, number>;
}

/** Counts bytes. Pure but for what it remembers; time is an argument. */
export class UsageMeter {
  readonly #months = new Map<string, Month>();
  #last: { day: number; month: Month } | null = null;

  /** @param reporter a name that no other run of any proxy has */
  constructor(readonly reporter: string) {}

  /** So many bytes left a server. No count grows beyond what a report may say. */
  add(place: PlaceOf, bytes: number, nowMs: number): void {
    if (!(bytes > 0)) return;
    const month = this.#monthOf(nowMs);
    const key = `${place.provider} ${place.region} ${place.id}`;
    const count = month.counts.get(key);
    const total = Math.min((count?.bytes ?? 0) + bytes, Number.MAX_SAFE_INTEGER);
    if (count) count.bytes = total;
    else {
      month.counts.set(key, {
        place: { provider: place.provider, region: place.region, id: place.id },
        bytes: total,
      });
    }
    month.revision++;
  }

  /** Remembers the last one, because each transfer asks, and dates are slow to write. */
  #monthOf(nowMs: number): Month {
    const day = Math.floor(nowMs / 86_400_000);
    if (this.#last?.day === day) return this.#last.month;
    const name = new Date(nowMs).toISOString().slice(0, 7);
    let month = this.#months.get(name);
    if (!month) this.#months.set(name, month = { counts: new Map(), revision: 0, sent: new Map() });
    this.#last = { day, month };
    return month;
  }

  /** The reports that a pricing server lacks. Call `sent` of each that has arrived there. */
  pending(receiver: string): { report: wire.UsageReport; sent(): void }[] {
    return [...this.#months].filter(([, { revision, sent }]) => revision > (sent.get(receiver) ?? 0))
      .map(([name, month]) => {
        const { revision } = month;
        const report = create(wire.UsageReportSchema, {
          reporter: this.reporter,
          month: name,
          counts: [...month.counts.values()].map(({ place: { provider, region, id }, bytes }) => ({
            place: { provider, region, server: id },
            bytes: BigInt(bytes),
          })),
        });
        const sent = () => {
          month.sent.set(receiver, revision);
          this.#forgetOld();
        };
        return { report, sent };
      });
  }

  /**
   * Months that somebody has whole. The month before the newest stays too: a clock that steps back at the turn must not
   * begin it anew.
   */
  #forgetOld(): void {
    for (const name of [...this.#months.keys()].sort().slice(0, -2)) {
      const { revision, sent } = this.#months.get(name)!;
      if ([...sent.values()].some((has) => has === revision)) this.#months.delete(name);
    }
  }
}
