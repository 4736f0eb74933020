-- A dead letter can be decoded again: from what is kept of its record, or from the topic.
ALTER TABLE lockstep.dead_letters
  ADD COLUMN raw_headers bytea,
  ADD COLUMN timestamp_ms bigint,
  -- Whether key, value and headers are kept whole.
  ADD COLUMN raw_whole boolean NOT NULL DEFAULT false,
  -- The primary's clock when the record was consumed; null once a sweep or a retry has accounted for it.
  ADD COLUMN gap_us bigint,
  ADD COLUMN attempts integer NOT NULL DEFAULT 0,
  ADD COLUMN last_attempt_ms bigint,
  ADD COLUMN discharged_by text CHECK (discharged_by IN ('operator', 'sweep', 'retry'));

CREATE INDEX dead_letters_open
  ON lockstep.dead_letters (migration, at_ms DESC, topic DESC, partition DESC, record_offset DESC)
  WHERE discharged_ms IS NULL;

CREATE INDEX dead_letters_gaps ON lockstep.dead_letters (migration, table_name) WHERE gap_us IS NOT NULL;

-- Verified-through stays before this while the check is pending: the commit of a change that was decoded late.
ALTER TABLE lockstep.checks ADD COLUMN holds_us bigint;
