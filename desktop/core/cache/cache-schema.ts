/** Tables of the fleet cache. A migration, once released, is never changed: add another. */

export const migrations: readonly string[] = [
  `CREATE TABLE host (host_id TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
   CREATE TABLE document (
     host_id TEXT NOT NULL REFERENCES host (host_id) ON DELETE CASCADE,
     kind TEXT NOT NULL,
     at INTEGER NOT NULL,
     content TEXT NOT NULL,
     PRIMARY KEY (host_id, kind)
   ) STRICT;
   CREATE TABLE value (name TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
   CREATE TABLE rollout (rollout_id TEXT PRIMARY KEY, started_at INTEGER NOT NULL, content TEXT NOT NULL) STRICT`,
  `CREATE TABLE record (
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     at INTEGER NOT NULL,
     content TEXT NOT NULL,
     PRIMARY KEY (kind, id)
   ) STRICT`,
];

export const cacheVersion = migrations.length;
