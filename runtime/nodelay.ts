/**
 * TCP_NODELAY for a server that `Deno.serve` made over TLS, where it leaves Nagle's algorithm on (Deno 2.9.6): the head
 * of an answer goes out as one small segment, and the body waits until the client has acknowledged it, which a client
 * that delays its acknowledgements does after 40 ms (RFC 9293 §3.7.4, RFC 1122 §4.2.3.2).
 *
 * Sockets that are accepted inherit the option from the one that listens (Linux). That one has no handle in JavaScript,
 * and /proc/self/fd can be read with all permissions only, so the descriptors are asked one after the other, by FFI:
 * does it listen, and on this port?
 */

/** Linux, asm-generic/socket.h and netinet/tcp.h. */
const [SOL_SOCKET, SO_ACCEPTCONN, IPPROTO_TCP, TCP_NODELAY] = [1, 30, 6, 1];
/** Descriptors are given out from the lowest; a program that listens has few before it. 25 ms for all of them. */
export const MOST_DESCRIPTORS = 65_536;

/** Where a C library may be: permission may be given for one path, and then the name alone is not found. */
const LIBRARIES = [
  "libc.so.6",
  `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
  "/lib64/libc.so.6",
  "/usr/lib/libc.so.6",
];

const symbols = {
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
} as const;

/**
 * Sets TCP_NODELAY on every socket of this process that listens on `port`.
 * @returns false where that cannot be done: no permission for FFI, not on Linux, no such socket
 */
export function setNoDelay(port: number): boolean {
  const libc = openLibc(symbols);
  if (!libc) return false;
  try {
    const { getsockopt, getsockname, setsockopt } = libc.symbols;
    const value = new Int32Array(1);
    const size = new Uint32Array(1);
    const address = new Uint8Array(28); // sockaddr_in6; the port is bytes 2 and 3, as in sockaddr_in
    let found = false;
    for (let fd = 3; fd < MOST_DESCRIPTORS; fd++) {
      size[0] = value.byteLength;
      if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, size) !== 0 || value[0] !== 1) continue;
      size[0] = address.byteLength;
      if (getsockname(fd, address, size) !== 0 || (address[2]! << 8 | address[3]!) !== port) continue;
      value[0] = 1;
      found = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, value.byteLength) === 0 || found;
    }
    return found;
  } finally {
    libc.close();
  }
}

/** The C library with these functions; null where it may not be used, or not on Linux. */
export function openLibc<const S extends Deno.ForeignLibraryInterface>(symbols: S): Deno.DynamicLibrary<S> | null {
  if (Deno.build.os !== "linux") return null;
  for (const path of LIBRARIES) {
    if (Deno.permissions.querySync({ name: "ffi", path }).state !== "granted") continue;
    try {
      return Deno.dlopen(path, symbols);
    } catch { /* not there: the next */ }
  }
  return null;
}

/** Longer bodies are left as they are; measured, a first piece up to this goes out together with the head. */
const LARGEST_SMALL = 15_000;

/**
 * Where {@link setNoDelay} cannot be had: the same answer as a stream of unknown length. Over HTTP/1.1 its first piece
 * goes out in one write with the head, so that nothing waits; the price is Content-Length, and speed. Over HTTP/2 it
 * does not help. Long bodies stay whole: they wait at their end at most.
 */
export function withoutStall(request: Request, response: Response): Response {
  const length = response.headers.get("content-length");
  if (!response.body || request.method === "HEAD" || Number(length ?? 0) > LARGEST_SMALL) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, { status: response.status, statusText: response.statusText, headers });
}
