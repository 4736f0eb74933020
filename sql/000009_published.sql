-- What the process with the writing role last said of the whole migration: any other one answers with it. JSON, as text.
CREATE TABLE lockstep.published (
  migration text PRIMARY KEY,
  epoch bigint NOT NULL,
  at timestamptz NOT NULL,
  body text NOT NULL
);
