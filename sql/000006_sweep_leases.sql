-- Several processes may serve one migration: one writes, the others stand by and help with its sweeps.
-- Each renews its row here; whether it lives is judged by this server's clock alone.
CREATE TABLE lockstep.replicas (
  migration text NOT NULL,
  id text COLLATE "C" NOT NULL,
  -- What process numbers are unique in.
  machine text NOT NULL,
  pid integer NOT NULL,
  started text,
  helps boolean NOT NULL,
  alive_until timestamptz NOT NULL,
  PRIMARY KEY (migration, id)
);

-- Null: a process that renews nothing, the only one of its state store.
ALTER TABLE lockstep.writers ADD COLUMN holder text COLLATE "C";

-- Chunks that the writer of `epoch` lets others compare. The number of the lease fences an earlier holder.
CREATE TABLE lockstep.sweep_chunks (
  migration text NOT NULL,
  epoch bigint NOT NULL,
  seq bigint NOT NULL,
  table_name text NOT NULL,
  -- What is compared, and where: a process whose configuration differs leaves the chunk alone.
  fingerprint text NOT NULL,
  path text NOT NULL CHECK (path IN ('portable', 'fast', 'client')),
  -- About how many rows it has.
  rows_about integer NOT NULL,
  likely_differs boolean NOT NULL,
  from_key text[],
  to_key text[],
  holder text COLLATE "C",
  lease integer NOT NULL DEFAULT 0,
  leased_until timestamptz,
  -- A holder could not compare it: it is left to the writer.
  refused boolean NOT NULL DEFAULT false,
  equal_rows numeric,
  old_rows numeric,
  new_rows numeric,
  done boolean NOT NULL DEFAULT false,
  PRIMARY KEY (migration, epoch, seq)
);

-- Keys whose rows differ, as JSON: jsonb could not hold every one.
CREATE TABLE lockstep.sweep_suspects (
  migration text NOT NULL,
  epoch bigint NOT NULL,
  seq bigint NOT NULL,
  page integer NOT NULL,
  keys text NOT NULL,
  PRIMARY KEY (migration, epoch, seq, page),
  FOREIGN KEY (migration, epoch, seq) REFERENCES lockstep.sweep_chunks (migration, epoch, seq) ON DELETE CASCADE
);
