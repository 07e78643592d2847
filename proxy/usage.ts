/**
 * What left which server through this proxy: cumulative counts by month, as `UsageReport` wants them. A count
 * that is sent twice changes nothing at the pricing server, so a report whose answer was lost is sent again.
 */
import { create } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";
import type { PlaceOf } from "./prices.ts";

interface Month {
  counts: Map<string, { place: PlaceOf; bytes: number }>;
  /** Something was counted since the last report that arrived. */
  unsent: boolean;
}

/** Counts bytes. Pure but for what it remembers; time is an argument. */
export class UsageMeter {
  readonly #months = new Map<string, Month>();
  #last: { day: number; month: Month } | null = null;

  /** @param reporter a name that no other run of any proxy has */
  constructor(readonly reporter: string) {}

  /** So many bytes left a server. */
  add(place: PlaceOf, bytes: number, nowMs: number): void {
    if (!(bytes > 0)) return;
    const month = this.#monthOf(nowMs);
    const key = `${place.provider} ${place.region} ${place.id}`;
    const count = month.counts.get(key);
    if (count) count.bytes += bytes;
    else month.counts.set(key, { place: { provider: place.provider, region: place.region, id: place.id }, bytes });
    month.unsent = true;
  }

  /** Remembers the last one, because each transfer asks, and dates are slow to write. */
  #monthOf(nowMs: number): Month {
    const day = Math.floor(nowMs / 86_400_000);
    if (this.#last?.day === day) return this.#last.month;
    const name = new Date(nowMs).toISOString().slice(0, 7);
    let month = this.#months.get(name);
    if (!month) this.#months.set(name, month = { counts: new Map(), unsent: true });
    this.#last = { day, month };
    return month;
  }

  /** The reports to send now. Call `sent` once one has arrived. */
  pending(): { report: wire.UsageReport; sent(): void }[] {
    return [...this.#months].filter(([, month]) => month.unsent).map(([name, month]) => {
      month.unsent = false;
      const report = create(wire.UsageReportSchema, {
        reporter: this.reporter,
        month: name,
        counts: [...month.counts.values()].map(({ place: { provider, region, id }, bytes }) => ({
          place: { provider, region, server: id },
          bytes: BigInt(bytes),
        })),
      });
      return { report, sent: () => this.#forgetOld() };
    });
  }

  /** A report did not arrive: all of its month is to be sent again. */
  again(report: wire.UsageReport): void {
    const month = this.#months.get(report.month);
    if (month) month.unsent = true;
  }

  /** The month before the newest stays too: a clock that steps back at the turn must not begin it anew. */
  #forgetOld(): void {
    for (const name of [...this.#months.keys()].sort().slice(0, -2)) {
      if (!this.#months.get(name)!.unsent) this.#months.delete(name);
    }
  }
}
