-- What explains each differing column: column name → {"code", "detail"}; detail is the
-- pattern's parameter in words, or null.
ALTER TABLE lockstep.drift ADD COLUMN column_causes jsonb NOT NULL DEFAULT '{}';
