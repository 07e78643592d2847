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

  /** @param reporter a name that no other run of any proxy has */
  constructor(readonly reporter: string) {}

  /** So many bytes left a server. */
  add(place: PlaceOf, bytes: number, nowMs: number): void {
    if (!(bytes > 0)) return;
    const name = new Date(nowMs).toISOString().slice(0, 7);
    let month = this.#months.get(name);
    if (!month) this.#months.set(name, month = { counts: new Map(), unsent: true });
    const key = `${place.provider} ${place.region} ${place.id}`;
    const count = month.counts.get(key);
    if (count) count.bytes += bytes;
    else month.counts.set(key, { place: { provider: place.provider, region: place.region, id: place.id }, bytes });
    month.unsent = true;
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
      return { report, sent: () => this.#forgetBefore(name) };
    });
  }

  /** A report did not arrive: all of its month is to be sent again. */
  again(report: wire.UsageReport): void {
    const month = this.#months.get(report.month);
    if (month) month.unsent = true;
  }

  /** Months that are over and reported are not needed any more. */
  #forgetBefore(name: string): void {
    const newest = [...this.#months.keys()].sort().at(-1)!;
    if (name < newest && this.#months.get(name)?.unsent === false) this.#months.delete(name);
  }
}
