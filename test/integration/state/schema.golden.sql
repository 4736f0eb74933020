audit.migration text NOT NULL
audit.id bigint NOT NULL IDENTITY a
audit.at_ms bigint NOT NULL
audit.actor text NOT NULL
audit.action text NOT NULL
audit.detail jsonb NOT NULL
audit: PRIMARY KEY (migration, id)
checks.migration text NOT NULL
checks.table_name text NOT NULL
checks.key_hash bytea NOT NULL
checks.key_values text[] NOT NULL
checks.origin text NOT NULL
checks.first_seen_ms bigint NOT NULL
checks.versions jsonb NOT NULL
checks.attempts integer NOT NULL
checks.holds_us bigint
checks: CHECK ((origin = ANY (ARRAY['stream'::text, 'sweep'::text, 'api'::text])))
checks: PRIMARY KEY (migration, table_name, key_hash)
dead_letters.migration text NOT NULL
dead_letters.topic text NOT NULL
dead_letters.partition integer NOT NULL
dead_letters.record_offset numeric(20,0) NOT NULL
dead_letters.table_name text
dead_letters.lsn numeric(20,0)
dead_letters.tx_id text
dead_letters.reason text NOT NULL
dead_letters.message text NOT NULL
dead_letters.raw_key bytea
dead_letters.raw_value bytea
dead_letters.at_ms bigint NOT NULL
dead_letters.discharged_ms bigint
dead_letters.raw_headers bytea
dead_letters.timestamp_ms bigint
dead_letters.raw_whole boolean NOT NULL DEFAULT false
dead_letters.gap_us bigint
dead_letters.attempts integer NOT NULL DEFAULT 0
dead_letters.last_attempt_ms bigint
dead_letters.discharged_by text
dead_letters: CHECK ((discharged_by = ANY (ARRAY['operator'::text, 'sweep'::text, 'retry'::text])))
dead_letters: PRIMARY KEY (migration, topic, partition, record_offset)
CREATE INDEX dead_letters_gaps ON lockstep.dead_letters USING btree (migration, table_name) WHERE (gap_us IS NOT NULL)
CREATE INDEX dead_letters_newest ON lockstep.dead_letters USING btree (migration, at_ms DESC, topic DESC, partition DESC, record_offset DESC)
CREATE INDEX dead_letters_open ON lockstep.dead_letters USING btree (migration, at_ms DESC, topic DESC, partition DESC, record_offset DESC) WHERE (discharged_ms IS NULL)
drift.migration text NOT NULL
drift.id text NOT NULL COLLATE "C"
drift.table_name text NOT NULL
drift.key_hash bytea NOT NULL
drift.key_values text[] NOT NULL
drift.key jsonb NOT NULL
drift.kind text NOT NULL
drift.columns text[] NOT NULL
drift.old_row jsonb
drift.new_row jsonb
drift.old_hash text
drift.new_hash text
drift.status text NOT NULL
drift.found_by text NOT NULL
drift.cause_code text
drift.cause_message text
drift.first_seen_ms bigint NOT NULL
drift.confirmed_ms bigint NOT NULL
drift.last_checked_ms bigint NOT NULL
drift.resolved_ms bigint
drift.checks integer NOT NULL
drift.position jsonb
drift.column_causes jsonb NOT NULL DEFAULT '{}'::jsonb
drift: CHECK ((found_by = ANY (ARRAY['stream'::text, 'sweep'::text, 'transaction'::text, 'api'::text])))
drift: CHECK ((kind = ANY (ARRAY['missing'::text, 'extra'::text, 'different'::text, 'stale'::text, 'stream_gap'::text])))
drift: CHECK ((status = ANY (ARRAY['open'::text, 'resolved'::text, 'ignored'::text])))
drift: PRIMARY KEY (migration, id)
CREATE INDEX drift_newest ON lockstep.drift USING btree (migration, confirmed_ms DESC, id DESC)
CREATE UNIQUE INDEX drift_unresolved_key ON lockstep.drift USING btree (migration, table_name, key_hash) WHERE (status = ANY (ARRAY['open'::text, 'ignored'::text]))
drift_events.migration text NOT NULL
drift_events.drift_id text NOT NULL COLLATE "C"
drift_events.seq bigint NOT NULL IDENTITY a
drift_events.at_ms bigint NOT NULL
drift_events.event text NOT NULL
drift_events.detail text NOT NULL
drift_events: CHECK ((event = ANY (ARRAY['confirmed'::text, 'changed'::text, 'resolved'::text, 'ignored'::text, 'reopened'::text])))
drift_events: FOREIGN KEY (migration, drift_id) REFERENCES lockstep.drift(migration, id) ON DELETE CASCADE
drift_events: PRIMARY KEY (migration, drift_id, seq)
CREATE UNIQUE INDEX drift_events_once ON lockstep.drift_events USING btree (migration, drift_id, at_ms, event, md5(detail))
partition_owners.migration text NOT NULL
partition_owners.topic text NOT NULL
partition_owners.partition integer NOT NULL
partition_owners.epoch bigint NOT NULL
partition_owners.owner text NOT NULL COLLATE "C"
partition_owners.taken_at timestamp with time zone NOT NULL DEFAULT now()
partition_owners: PRIMARY KEY (migration, topic, partition)
partitions.migration text NOT NULL
partitions.topic text NOT NULL
partitions.partition integer NOT NULL
partitions.next_offset text NOT NULL
partitions.watermark_us bigint
partitions.snapshot_in_progress boolean NOT NULL
partitions.updated_at timestamp with time zone NOT NULL DEFAULT now()
partitions: PRIMARY KEY (migration, topic, partition)
published.migration text NOT NULL
published.epoch bigint NOT NULL
published.at timestamp with time zone NOT NULL
published.body text NOT NULL
published: PRIMARY KEY (migration)
replicas.migration text NOT NULL
replicas.id text NOT NULL COLLATE "C"
replicas.machine text NOT NULL
replicas.pid integer NOT NULL
replicas.started text
replicas.helps boolean NOT NULL
replicas.alive_until timestamp with time zone NOT NULL
replicas: PRIMARY KEY (migration, id)
schema_migrations.name text NOT NULL
schema_migrations.sha256 text NOT NULL
schema_migrations.applied_at timestamp with time zone NOT NULL DEFAULT now()
schema_migrations: PRIMARY KEY (name)
sweep_chunks.migration text NOT NULL
sweep_chunks.epoch bigint NOT NULL
sweep_chunks.seq bigint NOT NULL
sweep_chunks.table_name text NOT NULL
sweep_chunks.fingerprint text NOT NULL
sweep_chunks.path text NOT NULL
sweep_chunks.rows_about integer NOT NULL
sweep_chunks.likely_differs boolean NOT NULL
sweep_chunks.from_key text[]
sweep_chunks.to_key text[]
sweep_chunks.holder text COLLATE "C"
sweep_chunks.lease integer NOT NULL DEFAULT 0
sweep_chunks.leased_until timestamp with time zone
sweep_chunks.refused boolean NOT NULL DEFAULT false
sweep_chunks.equal_rows numeric
sweep_chunks.old_rows numeric
sweep_chunks.new_rows numeric
sweep_chunks.done boolean NOT NULL DEFAULT false
sweep_chunks: CHECK ((path = ANY (ARRAY['portable'::text, 'fast'::text, 'client'::text])))
sweep_chunks: PRIMARY KEY (migration, epoch, seq)
sweep_suspects.migration text NOT NULL
sweep_suspects.epoch bigint NOT NULL
sweep_suspects.seq bigint NOT NULL
sweep_suspects.page integer NOT NULL
sweep_suspects.keys text NOT NULL
sweep_suspects: FOREIGN KEY (migration, epoch, seq) REFERENCES lockstep.sweep_chunks(migration, epoch, seq) ON DELETE CASCADE
sweep_suspects: PRIMARY KEY (migration, epoch, seq, page)
sweep_tables.migration text NOT NULL
sweep_tables.sweep_id text NOT NULL COLLATE "C"
sweep_tables.table_name text NOT NULL
sweep_tables.ordinal integer NOT NULL
sweep_tables.status text NOT NULL
sweep_tables.strategy text NOT NULL
sweep_tables.strategy_reason text NOT NULL
sweep_tables.progress_ratio double precision NOT NULL
sweep_tables.chunks_done bigint NOT NULL
sweep_tables.chunks_differing bigint NOT NULL
sweep_tables.old_rows numeric NOT NULL
sweep_tables.new_rows numeric NOT NULL
sweep_tables.suspects bigint NOT NULL
sweep_tables.drift bigint NOT NULL
sweep_tables.started_ms bigint NOT NULL
sweep_tables.ended_ms bigint
sweep_tables.error text
sweep_tables.started_at_us bigint NOT NULL
sweep_tables.resume_from text[]
sweep_tables.kind text NOT NULL DEFAULT 'full'::text
sweep_tables.kind_reason text NOT NULL DEFAULT ''::text
sweep_tables.touched_epoch bigint
sweep_tables.in_flight bigint NOT NULL DEFAULT 0
sweep_tables.equivalent bigint NOT NULL DEFAULT 0
sweep_tables.unverifiable bigint NOT NULL DEFAULT 0
sweep_tables.awaited text[] NOT NULL DEFAULT '{}'::text[]
sweep_tables: CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text])))
sweep_tables: CHECK ((status = ANY (ARRAY['running'::text, 'settling'::text, 'done'::text, 'cancelled'::text, 'failed'::text])))
sweep_tables: CHECK ((strategy = ANY (ARRAY['portable'::text, 'fast'::text, 'client'::text])))
sweep_tables: FOREIGN KEY (migration, sweep_id) REFERENCES lockstep.sweeps(migration, id) ON DELETE CASCADE
sweep_tables: PRIMARY KEY (migration, sweep_id, table_name)
sweeps.migration text NOT NULL
sweeps.id text NOT NULL COLLATE "C"
sweeps.status text NOT NULL
sweeps.started_ms bigint NOT NULL
sweeps.ended_ms bigint
sweeps.kind text NOT NULL DEFAULT 'full'::text
sweeps: CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text])))
sweeps: CHECK ((status = ANY (ARRAY['running'::text, 'settling'::text, 'done'::text, 'cancelled'::text, 'failed'::text])))
sweeps: PRIMARY KEY (migration, id)
CREATE INDEX sweeps_newest ON lockstep.sweeps USING btree (migration, started_ms DESC, id DESC)
tables.migration text NOT NULL
tables.table_name text NOT NULL
tables.proven_since_us bigint
tables.sweep_owed_since_us bigint
tables.verified_through_us bigint
tables.last_clean_sweep_ms bigint
tables.last_sweep_ended_ms bigint
tables.old_rows bigint
tables.new_rows bigint
tables.last_incremental_ended_ms bigint
tables.last_clean_incremental_ms bigint
tables: PRIMARY KEY (migration, table_name)
touched.migration text NOT NULL
touched.table_name text NOT NULL
touched.epoch bigint NOT NULL
touched.needs_full text
touched.lost_epoch bigint NOT NULL
touched.tracking boolean NOT NULL
touched.shift integer
touched.comparison text NOT NULL
touched.shape text
touched: PRIMARY KEY (migration, table_name)
touched_keys.migration text NOT NULL
touched_keys.table_name text NOT NULL
touched_keys.key_hash bytea NOT NULL
touched_keys.key_values text[] NOT NULL
touched_keys.epoch bigint NOT NULL
touched_keys: PRIMARY KEY (migration, table_name, key_hash)
writers.migration text NOT NULL
writers.epoch bigint NOT NULL
writers.taken_at timestamp with time zone NOT NULL DEFAULT now()
writers.holder text COLLATE "C"
writers: PRIMARY KEY (migration)
