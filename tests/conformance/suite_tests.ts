/** The tests of the suite `http-cache-tests`: what its command line runs, in its order. */
import baseGroups from "http-cache-tests/tests/index.mjs";
import surrogateGroup from "http-cache-tests/tests/surrogate-control.mjs";

/** What a test says of a cache: it must, it would be optimal, or merely that it does. */
export type Kind = "required" | "optimal" | "check";

/** A test, as far as we read it; the rest is for the suite's client. */
export interface SuiteTest {
  readonly id: string;
  readonly name: string;
  /** Absent: required. */
  readonly kind?: Kind;
  /** Tests without whose success this one says nothing. */
  readonly depends_on?: readonly string[];
  /** Only for a browser's cache. */
  readonly browser_only?: boolean;
  readonly requests: readonly {
    /** The origin closes the connection in place of an answer. */
    readonly disconnect?: boolean;
    readonly response_headers?: readonly (readonly [name: string, ...rest: unknown[]])[];
  }[];
}

/** Tests of one matter. */
export interface SuiteGroup {
  readonly id: string;
  readonly name: string;
  readonly tests: readonly SuiteTest[];
}

/** All groups; tests for browsers only are left out. */
export const groups: readonly SuiteGroup[] = [...baseGroups as SuiteGroup[], surrogateGroup as SuiteGroup]
  .map((group) => ({ ...group, tests: group.tests.filter((test) => !test.browser_only) }));

/**
 * True where the origin breaks HTTP on purpose: closes without an answer, or lies about the length. A cache that then
 * takes it for sick for a while, and may, must not fail other tests by that: these run after all others.
 */
export function breaksHttp({ requests }: SuiteTest): boolean {
  return requests.some(({ disconnect, response_headers = [] }) =>
    disconnect || response_headers.some(([name]) => name === "Content-Length" || name === "Transfer-Encoding")
  );
}
