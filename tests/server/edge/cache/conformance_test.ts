import { createMemoryCache } from "../../../../server/edge/cache/mod.ts";
import { cacheSuite } from "../../../suite/cache_suite.ts";
import { openTemporary } from "./kit.ts";

cacheSuite("cache on disk", { open: () => openTemporary() });
cacheSuite("cache on disk with little memory", { open: () => openTemporary({ memoryBytes: 4 << 20 }) });
cacheSuite("cache in memory", { open: () => Promise.resolve(createMemoryCache({ memoryBytes: 64 << 20 })) });
