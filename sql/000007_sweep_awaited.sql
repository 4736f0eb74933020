-- Suspects that a sweep waits for in chunks that it has passed, each key as JSON.
ALTER TABLE lockstep.sweep_tables ADD COLUMN awaited text[] NOT NULL DEFAULT '{}';
