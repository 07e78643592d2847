/** What is stored cannot be completed: {@link Changed}. */
import { CdnError } from "../../proto/mod.ts";

/** The origin has something else now, or cannot give a part: what is stored is of no use to who needs all of it. */
export class Changed extends CdnError {
  override name = "Changed";

  constructor(why: string) {
    super(`Cannot complete what is stored: ${why}`, { source: "origin", retry: true });
  }
}
