-- Several migrations may share a database: every table is keyed by `migration`.
-- Times end in their unit; `_ms` and `_us` count from 1970. A key's identity is
-- `key_hash` (sha256 of its encoded values): btree entries are limited to 2.7 kB.

CREATE TABLE lockstep.writers (
  migration text PRIMARY KEY,
  epoch bigint NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lockstep.partitions (
  migration text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next_offset text NOT NULL,
  watermark_us bigint,
  snapshot_in_progress boolean NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, topic, partition)
);

CREATE TABLE lockstep.checks (
  migration text NOT NULL,
  table_name text NOT NULL,
  key_hash bytea NOT NULL,
  key_values text[] NOT NULL,
  origin text NOT NULL CHECK (origin IN ('stream', 'sweep', 'api')),
  first_seen_ms bigint NOT NULL,
  versions jsonb NOT NULL,
  attempts integer NOT NULL,
  PRIMARY KEY (migration, table_name, key_hash)
);

CREATE TABLE lockstep.tables (
  migration text NOT NULL,
  table_name text NOT NULL,
  proven_since_us bigint,
  sweep_owed_since_us bigint,
  verified_through_us bigint,
  last_clean_sweep_ms bigint,
  last_sweep_ended_ms bigint,
  old_rows bigint,
  new_rows bigint,
  PRIMARY KEY (migration, table_name)
);

CREATE TABLE lockstep.drift (
  migration text NOT NULL,
  id text COLLATE "C" NOT NULL,
  table_name text NOT NULL,
  key_hash bytea NOT NULL,
  key_values text[] NOT NULL,
  key jsonb NOT NULL,
  kind text NOT NULL CHECK (kind IN ('missing', 'extra', 'different', 'stale', 'stream_gap')),
  columns text[] NOT NULL,
  old_row jsonb,
  new_row jsonb,
  old_hash text,
  new_hash text,
  status text NOT NULL CHECK (status IN ('open', 'resolved', 'ignored')),
  found_by text NOT NULL CHECK (found_by IN ('stream', 'sweep', 'transaction', 'api')),
  cause_code text,
  cause_message text,
  first_seen_ms bigint NOT NULL,
  confirmed_ms bigint NOT NULL,
  last_checked_ms bigint NOT NULL,
  resolved_ms bigint,
  checks integer NOT NULL,
  position jsonb,
  PRIMARY KEY (migration, id)
);

-- A row that differs stands in the report once.
CREATE UNIQUE INDEX drift_unresolved_key ON lockstep.drift (migration, table_name, key_hash)
  WHERE status IN ('open', 'ignored');

CREATE INDEX drift_newest ON lockstep.drift (migration, confirmed_ms DESC, id DESC);

CREATE TABLE lockstep.drift_events (
  migration text NOT NULL,
  drift_id text COLLATE "C" NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  at_ms bigint NOT NULL,
  event text NOT NULL CHECK (event IN ('confirmed', 'changed', 'resolved', 'ignored', 'reopened')),
  detail text NOT NULL,
  PRIMARY KEY (migration, drift_id, seq),
  FOREIGN KEY (migration, drift_id) REFERENCES lockstep.drift (migration, id) ON DELETE CASCADE
);

-- A checkpoint that is written again, its first answer lost, adds no history.
CREATE UNIQUE INDEX drift_events_once ON lockstep.drift_events (migration, drift_id, at_ms, event, md5(detail));

CREATE TABLE lockstep.dead_letters (
  migration text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  record_offset numeric(20) NOT NULL,
  table_name text,
  lsn numeric(20),
  tx_id text,
  reason text NOT NULL,
  message text NOT NULL,
  raw_key bytea,
  raw_value bytea,
  at_ms bigint NOT NULL,
  discharged_ms bigint,
  PRIMARY KEY (migration, topic, partition, record_offset)
);

CREATE INDEX dead_letters_newest
  ON lockstep.dead_letters (migration, at_ms DESC, topic DESC, partition DESC, record_offset DESC);

CREATE TABLE lockstep.sweeps (
  migration text NOT NULL,
  id text COLLATE "C" NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'settling', 'done', 'cancelled', 'failed')),
  started_ms bigint NOT NULL,
  ended_ms bigint,
  PRIMARY KEY (migration, id)
);

CREATE INDEX sweeps_newest ON lockstep.sweeps (migration, started_ms DESC, id DESC);

CREATE TABLE lockstep.sweep_tables (
  migration text NOT NULL,
  sweep_id text COLLATE "C" NOT NULL,
  table_name text NOT NULL,
  ordinal integer NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'settling', 'done', 'cancelled', 'failed')),
  strategy text NOT NULL CHECK (strategy IN ('portable', 'fast', 'client')),
  strategy_reason text NOT NULL,
  progress_ratio double precision NOT NULL,
  chunks_done bigint NOT NULL,
  chunks_differing bigint NOT NULL,
  old_rows numeric NOT NULL,
  new_rows numeric NOT NULL,
  suspects bigint NOT NULL,
  drift bigint NOT NULL,
  started_ms bigint NOT NULL,
  ended_ms bigint,
  error text,
  started_at_us bigint NOT NULL,
  resume_from text[],
  PRIMARY KEY (migration, sweep_id, table_name),
  FOREIGN KEY (migration, sweep_id) REFERENCES lockstep.sweeps (migration, id) ON DELETE CASCADE
);

CREATE TABLE lockstep.audit (
  migration text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at_ms bigint NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  detail jsonb NOT NULL,
  PRIMARY KEY (migration, id)
);
