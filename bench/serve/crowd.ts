/** Many viewers who do little: {@link gather}. */

/** How many viewers of a crowd do what. */
export interface Crowd {
  /** Ask once, and then keep their connection. */
  idle: number;
  /** Ask for a long answer, and read a little of it now and then. */
  slow: number;
}

/** A crowd that is there; disposing sends it home. */
export interface Gathered extends Disposable {
  /** How many lost their connection so far. */
  lost(): number;
}

const SLOW_BYTES = 16_384;
const SLOW_EVERY_MS = 1000;
/** So many come at a time: no accept queue overflows. */
const TOGETHER = 200;

/** Resolves once all have had the head of an answer. @throws {Error} where one is turned away */
export async function gather(
  url: string,
  { idle, slow }: Crowd,
  paths: { short: string; long: string },
): Promise<Gathered> {
  const { hostname, port } = new URL(url);
  const conns: Deno.TcpConn[] = [];
  let lost = 0;
  let home = false;

  async function come(path: string): Promise<Deno.TcpConn> {
    const conn = await Deno.connect({ hostname, port: Number(port) });
    conns.push(conn);
    const head = `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    return conn;
  }

  async function beIdle(): Promise<void> {
    const conn = await come(paths.short);
    const buffer = new Uint8Array(4096);
    for (let got = 0; got < 1024;) {
      const count = await conn.read(buffer);
      if (count === null) throw new Error("the server closed a connection before it had answered");
      got += count;
    }
    // Whoever closes it now has lost a viewer.
    conn.read(new Uint8Array(1)).catch(() => {}).finally(() => home || lost++);
  }

  async function beSlow(): Promise<void> {
    const conn = await come(paths.long);
    const buffer = new Uint8Array(SLOW_BYTES);
    if (await conn.read(buffer) === null) throw new Error("the server closed a connection before it had answered");
    (async () => {
      while (!home) {
        await new Promise((resolve) => setTimeout(resolve, SLOW_EVERY_MS));
        if (!home && await conn.read(buffer) === null) return void lost++;
      }
    })().catch(() => home || lost++);
  }

  const coming = [...Array(slow).fill(beSlow), ...Array(idle).fill(beIdle)];
  while (coming.length > 0) await Promise.all(coming.splice(0, TOGETHER).map((come) => come()));
  return {
    lost: () => lost,
    [Symbol.dispose]() {
      home = true;
      for (const conn of conns) conn.close();
    },
  };
}
