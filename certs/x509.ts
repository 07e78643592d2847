/** The library for certificates; it wants `reflect-metadata` loaded before it. */
import "reflect-metadata";
export * as X509 from "@peculiar/x509";
