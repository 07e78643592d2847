/** Pebble, an ACME server for tests (Debian: pebble), and its DNS, on loopback and on free ports. */
import { join } from "@std/path";
import { issueCertificate, makeCa, makeKeyPair, randomSerial } from "../../certs/mod.ts";
import { eventually, freePorts, tempDir } from "../kit/mod.ts";

/** A running one. */
export interface Pebble extends AsyncDisposable {
  directoryUrl: string;
  /** CA certificates of its own HTTPS, a file. */
  caFile: string;
  /** Where it asks for challenges. */
  challengePort: number;
  /** The root of what it issues, PEM. */
  root(): Promise<string>;
}

/** Starts it. Every name resolves to 127.0.0.1. */
export async function startPebble(): Promise<Pebble> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  const nowMs = Date.now();
  const ca = await makeCa({ name: "pebble's own", nowMs, serial: randomSerial() });
  const { key, publicKey: tlsKey } = await makeKeyPair("P-256");
  const options = { ca, id: "pebble", names: ["127.0.0.1", "localhost"], publicKey: new Uint8Array(32), tlsKey, nowMs };
  const files = { ca: join(folder, "ca.pem"), cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  Deno.writeTextFileSync(files.ca, ca.certificate);
  Deno.writeTextFileSync(files.cert, await issueCertificate({ ...options, serial: randomSerial() }));
  Deno.writeTextFileSync(files.key, key);

  const [directory, management, challenge, unused, dns, dnsManagement] = freePorts(6);
  const config = join(folder, "config.json");
  Deno.writeTextFileSync(
    config,
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${directory}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: files.cert,
        privateKey: files.key,
        httpPort: challenge,
        tlsPort: unused,
        ocspResponderURL: "",
        externalAccountBindingRequired: false,
      },
    }),
  );
  const run = (command: string, args: string[]) => {
    const env = { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0" };
    const child = new Deno.Command(command, { args, env, stdin: "null", stdout: "null", stderr: "null" }).spawn();
    stack.defer(async () => {
      try {
        child.kill("SIGKILL");
      } catch { /* it has ended */ }
      await child.status;
    });
  };
  const none = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
  const names = ["-dns01", `127.0.0.1:${dns}`, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""];
  run("pebble-challtestsrv", [...none, ...names, "-management", `127.0.0.1:${dnsManagement}`]);
  run("pebble", ["-config", config, "-dnsserver", `127.0.0.1:${dns}`]);

  const client = stack.use(Deno.createHttpClient({ caCerts: [ca.certificate] }));
  const directoryUrl = `https://127.0.0.1:${directory}/dir`;
  const text = async (url: string) => await (await fetch(url, { client })).text();
  await eventually(async () => (await text(directoryUrl)).includes("newOrder"), { what: "pebble's directory" });
  await eventually(() => connects(dnsManagement!), { what: "pebble's names" });
  const owned = stack.move();
  return {
    directoryUrl,
    caFile: files.ca,
    challengePort: challenge!,
    root: () => text(`https://127.0.0.1:${management}/roots/0`),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function connects(port: number): Promise<boolean> {
  (await Deno.connect({ hostname: "127.0.0.1", port })).close();
  return true;
}
