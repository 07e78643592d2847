/**
 * Ends connections that Deno keeps open although they were closed: those whose TLS handshake has stalled. Closing one
 * leaves its socket to a task that waits for the rest of the handshake (Deno 2.9.6), which may never come; so the socket
 * is shut down (shutdown(2)), by FFI. It has no handle in JavaScript and is found by the addresses of its two ends.
 */
import { MOST_DESCRIPTORS, openLibc } from "./nodelay.ts";

/** Looking at all descriptors takes some ms: it is done for all that have come meanwhile. */
const EVERY_MS = 1000;
/** Linux, bits/socket.h. */
const [AF_INET, SHUT_RDWR] = [2, 2];

const symbols = {
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
} as const;

/** Connections that are to end. */
export class HangUp {
  readonly #ends = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Ends this one soon; nothing happens without permission for FFI. It must have been closed. */
  end(conn: Deno.Conn): void {
    this.#ends.add(nameOf(conn.localAddr as Deno.NetAddr, conn.remoteAddr as Deno.NetAddr));
    this.#timer ??= setTimeout(() => this.flush(), EVERY_MS);
  }

  /** Ends them now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#ends.size === 0) return;
    endAll(this.#ends);
    this.#ends.clear();
  }
}

function endAll(ends: ReadonlySet<string>): void {
  const libc = openLibc(symbols);
  if (!libc) return;
  try {
    const { getpeername, getsockname, shutdown } = libc.symbols;
    const [local, remote] = [new Uint8Array(28), new Uint8Array(28)]; // sockaddr_in6
    const size = new Uint32Array(1);
    for (let fd = 3; fd < MOST_DESCRIPTORS; fd++) {
      size[0] = remote.length;
      if (getpeername(fd, remote, size) !== 0) continue;
      size[0] = local.length;
      if (getsockname(fd, local, size) !== 0) continue;
      if (ends.has(nameOf(addressOf(local), addressOf(remote)))) shutdown(fd, SHUT_RDWR);
    }
  } finally {
    libc.close();
  }
}

type End = Pick<Deno.NetAddr, "hostname" | "port">;

function nameOf(local: End, remote: End): string {
  return `${canonical(local.hostname)} ${local.port} ${canonical(remote.hostname)} ${remote.port}`;
}

/** sockaddr_in, or sockaddr_in6, as the system fills it. */
function addressOf(bytes: Uint8Array): End {
  const port = bytes[2]! << 8 | bytes[3]!;
  // The family is in the machine's own order, and less than 256.
  if (bytes[0] === AF_INET || bytes[1] === AF_INET) return { hostname: bytes.subarray(4, 8).join("."), port };
  const groups = Array.from({ length: 8 }, (_, at) => (bytes[8 + 2 * at]! << 8 | bytes[9 + 2 * at]!).toString(16));
  return { hostname: groups.join(":"), port };
}

/** One spelling of each IPv6 address (RFC 5952), a scope left out. */
function canonical(hostname: string): string {
  if (!hostname.includes(":")) return hostname;
  return new URL(`http://[${hostname.split("%")[0]}]`).hostname;
}
