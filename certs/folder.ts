/**
 * The folder with the authority's and the servers' certificates:
 *
 *     ca.pem  ca.key                the authority
 *     <id>.pem  <id>.key            a server; without .key where it keeps its key itself
 *     <name>.pem  <name>.key        what a public authority issued (acme.ts), by its first name
 *     acme-account.key              the account there
 *
 * Keys are readable by their owner only. A file is replaced whole or not at all.
 */
import { join } from "@std/path";
import { CdnError } from "../proto/mod.ts";
import { checkTlsPair } from "../runtime/tls_pair.ts";
import { writeWholeFile } from "../runtime/whole_file.ts";
import type { Ca } from "./authority.ts";
import { type CertificateFacts, readCertificate } from "./read.ts";

/** Names of files that no server can have. */
const RESERVED = ["ca", "acme-account"];

/** A certificate in the folder. */
export interface Kept {
  /** Its file without `.pem`. */
  name: string;
  /** PEM; a chain where there is one. */
  certificate: string;
  facts: CertificateFacts;
}

/** Reads and writes such a folder. */
export class CertsFolder {
  /** It need not exist yet. */
  constructor(readonly path: string) {}

  /** Where a file is. */
  file(name: string, kind: "pem" | "key"): string {
    return join(this.path, `${name}.${kind}`);
  }

  /** @throws {CdnError} where there is no authority, or it is of no use now. */
  readCa(nowMs: number): Ca {
    const certificate = this.#read("ca", "pem");
    const key = this.#read("ca", "key");
    if (certificate === null || key === null) {
      throw new CdnError(`There is no CA in ${this.path}: make one with "metacdn certs init"`, { source: "client" });
    }
    checkTlsPair({ cert: certificate, key }, nowMs, `${this.file("ca", "pem")} with its key`);
    return { certificate, key };
  }

  /** @throws {CdnError} where there is one already: what it signed would be worth nothing. */
  async writeCa({ certificate, key }: Ca): Promise<void> {
    if (this.#read("ca", "pem") !== null || this.#read("ca", "key") !== null) {
      throw new CdnError(`There is a CA in ${this.path} already`, { source: "client" });
    }
    await this.write("ca", certificate, key);
  }

  /** A certificate of a server; null where there is none. */
  read(name: string): Kept | null {
    const certificate = this.#read(name, "pem");
    return certificate === null ? null : { name, certificate, facts: this.#facts(name, certificate) };
  }

  /** A private key; null where there is none. */
  readKey(name: string): string | null {
    return this.#read(name, "key");
  }

  /** All certificates but the authority's, by name. */
  list(): Kept[] {
    let entries: Deno.DirEntry[];
    try {
      entries = [...Deno.readDirSync(this.path)];
    } catch (cause) {
      throw new CdnError(`Cannot read ${this.path}: ${(cause as Error).message}`, { source: "client", cause });
    }
    const names = entries.map(({ name }) => /^([^.].*)\.pem$/.exec(name)?.[1]).filter((name) => name !== undefined);
    return names.filter((name) => !RESERVED.includes(name)).sort().map((name) => this.read(name)!);
  }

  /**
   * Writes a certificate and, unless null, its key. Between the two a reader sees a pair that does not belong together,
   * keeps what it has, and looks again (`runtime/tls_source.ts`).
   */
  async write(name: string, certificate: string, key: string | null): Promise<void> {
    if (key !== null) await this.writeKey(name, key);
    await this.#write(name, "pem", certificate);
  }

  /** Writes a private key. */
  async writeKey(name: string, key: string): Promise<void> {
    await this.#write(name, "key", key);
  }

  async #write(name: string, kind: "pem" | "key", text: string): Promise<void> {
    const path = this.file(name, kind);
    try {
      await Deno.mkdir(this.path, { recursive: true, mode: 0o700 });
      await writeWholeFile(path, text, { mode: kind === "key" ? 0o600 : 0o644 });
    } catch (cause) {
      throw new CdnError(`Cannot write ${path}: ${(cause as Error).message}`, { source: "server", cause });
    }
  }

  #read(name: string, kind: "pem" | "key"): string | null {
    const path = this.file(name, kind);
    try {
      return Deno.readTextFileSync(path);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) return null;
      throw new CdnError(`Cannot read ${path}: ${(cause as Error).message}`, { source: "server", cause });
    }
  }

  #facts(name: string, certificate: string): CertificateFacts {
    try {
      return readCertificate(certificate);
    } catch (cause) {
      throw new CdnError(`Cannot use ${this.file(name, "pem")}: ${(cause as Error).message}`, {
        source: "client",
        cause,
      });
    }
  }
}

/** @throws {CdnError} 400 for a name whose files have another meaning. */
export function checkFree(name: string): string {
  if (!RESERVED.includes(name)) return name;
  throw new CdnError(`"${name}" cannot be a server's id here: its files have another meaning`, { source: "client" });
}
