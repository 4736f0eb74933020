-- Who consumes a partition of the stream. Each taking has a new epoch, and what a process would write of the partition
-- under an earlier one is refused.
CREATE TABLE lockstep.partition_owners (
  migration text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  epoch bigint NOT NULL,
  owner text COLLATE "C" NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, topic, partition)
);
