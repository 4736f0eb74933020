-- A full sweep compares all rows; an incremental one those that a consumed change touched since the last full one began.
ALTER TABLE lockstep.sweeps
  ADD COLUMN kind text NOT NULL DEFAULT 'full' CHECK (kind IN ('full', 'incremental'));

ALTER TABLE lockstep.sweep_tables
  ADD COLUMN kind text NOT NULL DEFAULT 'full' CHECK (kind IN ('full', 'incremental')),
  ADD COLUMN kind_reason text NOT NULL DEFAULT '',
  -- What is touched from this epoch on is not of this sweep; null: it has not begun, or did before there were epochs.
  ADD COLUMN touched_epoch bigint;

ALTER TABLE lockstep.tables
  ADD COLUMN last_incremental_ended_ms bigint,
  ADD COLUMN last_clean_incremental_ms bigint;

-- What is known of a table's touched keys; each sweep of the table begins an epoch.
CREATE TABLE lockstep.touched (
  migration text NOT NULL,
  table_name text NOT NULL,
  epoch bigint NOT NULL,
  -- Why the next sweep must be a full one; null: the keys are complete.
  needs_full text,
  lost_epoch bigint NOT NULL,
  tracking boolean NOT NULL,
  -- Null: keys; else blocks of 2^shift values of the key's first column.
  shift integer,
  -- What is compared, and the tables' shape when the last sweep began.
  comparison text NOT NULL,
  shape text,
  PRIMARY KEY (migration, table_name)
);

CREATE TABLE lockstep.touched_keys (
  migration text NOT NULL,
  table_name text NOT NULL,
  key_hash bytea NOT NULL,
  key_values text[] NOT NULL,
  epoch bigint NOT NULL,
  PRIMARY KEY (migration, table_name, key_hash)
);
