-- The schema of index.sqlite in its version 1, as metacdn 0.1.0 made it.
CREATE TABLE manifests (
  change INTEGER PRIMARY KEY AUTOINCREMENT,
  path TEXT NOT NULL UNIQUE,
  wall_ms INTEGER NOT NULL,
  counter INTEGER NOT NULL,
  server TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  name TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  meta TEXT NOT NULL
) STRICT;
CREATE INDEX manifests_by_body ON manifests (sha256) WHERE deleted = 0;
PRAGMA user_version = 1;
