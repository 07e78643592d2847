/** The token and the cluster key: from a file, else from the environment; never from a flag. */
import { type CommandInput, UsageError } from "./flags.ts";
import type { Secrets } from "./guard.ts";

/** Shorter secrets are refused: they can be guessed. */
const LEAST_LENGTH = 16;

/**
 * Reads both secrets. White space around them is dropped.
 * @throws {UsageError} where one cannot be read or is too short.
 */
export function readSecrets(
  files: { "token-file": string | null; "cluster-key-file": string | null },
  input: CommandInput,
): Secrets {
  const token = readToken(files["token-file"], input);
  const clusterKey = readSecret("METACDN_CLUSTER_KEY", "--cluster-key-file", files["cluster-key-file"], input);
  return { token, clusterKey: clusterKey === null ? null : new TextEncoder().encode(clusterKey) };
}

/**
 * Reads the token alone: the cluster key is for programs, and not for a person's commands to read.
 * @throws {UsageError} where it cannot be read, is too short, or cannot stand in a header.
 */
export function readToken(file: string | null, input: CommandInput): string | null {
  const token = readSecret("METACDN_TOKEN", "--token-file", file, input);
  if (token === null || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError("The token must be printable ASCII without spaces");
}

/** @throws {UsageError} where peers would refuse us: those of a program with a token know each other by the cluster key. */
export function requirePeerKey(peers: readonly string[], { token, clusterKey }: Secrets): void {
  if (peers.length === 0 || token === null || clusterKey !== null) return;
  throw new UsageError(
    "--peers with a token needs the cluster key that all servers share: set METACDN_CLUSTER_KEY, or --cluster-key-file",
  );
}

function readSecret(
  variable: string,
  flag: string,
  file: string | null,
  input: CommandInput,
): string | null {
  let value: string;
  if (file !== null) {
    try {
      value = input.readTextFile(file).trim();
    } catch (error) {
      throw new UsageError(`${flag}: cannot read ${file}: ${(error as Error).message}`);
    }
    if (value === "") throw new UsageError(`${flag}: ${file} is empty`);
  } else value = input.env(variable)?.trim() ?? "";
  if (value === "") return null;
  if (value.length < LEAST_LENGTH) {
    throw new UsageError(
      `${file === null ? variable : flag} must have at least ${LEAST_LENGTH} characters: try "openssl rand -hex 32"`,
    );
  }
  return value;
}
