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
    readonly response_status?: readonly [status: number, ...rest: unknown[]];
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
 * True where the origin looks sick on purpose: it closes without an answer, lies about the length, or answers 502 to 504.
 * A cache may leave such an origin alone for a while, and must not fail other tests by that: these run after all others,
 * and few at a time.
 */
export function looksSick({ requests }: SuiteTest): boolean {
  return requests.some(({ disconnect, response_status = [200], response_headers = [] }) =>
    disconnect || [502, 503, 504].includes(response_status[0]) ||
    response_headers.some(([name]) => name === "Content-Length" || name === "Transfer-Encoding")
  );
}
