/** Who a pricing server is among its peers: its id, and the name of its log. Both outlive the process. */
import type { DatabaseSync } from "node:sqlite";
import { transaction } from "./database.ts";

/** Kept in the database. */
export interface Identity {
  /** What its stamps carry, and what others call it. */
  id: string;
  /** Names this database's log (`sequence.ts`): another database, another log. */
  log: string;
}

/**
 * The identity that the database keeps; made on the first run. Under another id it gets another log too, so that a copy
 * of a folder that is started with an `--id` of its own is a server of its own.
 * @param random gives 12 letters or digits that nobody else has
 */
export function keepIdentity(database: DatabaseSync, wanted: string | null, random: () => string): Identity {
  const fact = (name: string) => database.prepare("SELECT value FROM facts WHERE name = ?").get(name)?.value;
  const id = fact("id") as string | undefined;
  const log = fact("log") as string | undefined;
  if (id !== undefined && log !== undefined && (wanted ?? id) === id) return { id, log };
  const identity = { id: wanted ?? `pricing-${random().slice(0, 6)}`, log: random() };
  transaction(database, () => {
    const set = database.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)");
    for (const [name, value] of Object.entries(identity)) set.run(name, value);
    // What an older program wrote here carries no server yet.
    database.prepare("UPDATE changes SET server = ? WHERE server = ''").run(identity.id);
  });
  return identity;
}
