-- What became of a sweep's suspects beside drift.
ALTER TABLE lockstep.sweep_tables
  ADD COLUMN in_flight bigint NOT NULL DEFAULT 0,
  ADD COLUMN equivalent bigint NOT NULL DEFAULT 0,
  ADD COLUMN unverifiable bigint NOT NULL DEFAULT 0;
