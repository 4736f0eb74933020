import { groupSentence, type DriftGroup } from './causes/groups.ts';
import type { Drift, RowSample } from './drift.ts';

/** A drift as REST, exports and `check --format ndjson` show it. */
export interface DriftJson {
  readonly id: string;
  readonly table: string;
  readonly key: RowSample;
  readonly kind: string;
  readonly columns: readonly string[];
  readonly old: RowSample | null;
  readonly new: RowSample | null;
  readonly old_hash: string | null;
  readonly new_hash: string | null;
  readonly status: string;
  readonly found_by: string;
  readonly cause: { readonly code: string; readonly message: string } | null;
  /** Column → code of its cause. */
  readonly column_causes: Readonly<Record<string, string>>;
  readonly first_seen_at: string;
  readonly confirmed_at: string;
  readonly last_checked_at: string;
  readonly resolved_at: string | null;
  readonly checks: number;
  readonly position: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: string;
    /** Decimal text, as Debezium writes it. */
    readonly lsn: string | null;
    readonly tx_id: string | null;
  } | null;
}

/** The published JSON shape of `drift`; times are ISO 8601 in UTC. */
export function driftJson(drift: Drift): DriftJson {
  const { position, firstSeenAtMs, confirmedAtMs, lastCheckedAtMs } = drift;
  const confirmedAt = isoTime(confirmedAtMs);
  return {
    id: drift.id,
    table: drift.table,
    key: drift.key,
    kind: drift.kind,
    columns: drift.columns,
    old: drift.old,
    new: drift.new,
    old_hash: drift.oldHash,
    new_hash: drift.newHash,
    status: drift.status,
    found_by: drift.foundBy,
    cause: drift.cause === null ? null : { code: drift.cause.code, message: drift.cause.message },
    column_causes: causeCodes(drift.columnCauses),
    first_seen_at: isoTime(firstSeenAtMs),
    confirmed_at: confirmedAt,
    last_checked_at: lastCheckedAtMs === confirmedAtMs ? confirmedAt : isoTime(lastCheckedAtMs),
    resolved_at: drift.resolvedAtMs === null ? null : isoTime(drift.resolvedAtMs),
    checks: drift.checks,
    position:
      position === null
        ? null
        : {
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
            lsn: position.lsn === null ? null : position.lsn.toString(),
            tx_id: position.txId,
          },
  };
}

/** A group of drift as REST and `check` show it. */
export interface DriftGroupJson {
  readonly table: string;
  readonly column: string | null;
  readonly cause: { readonly code: string; readonly message: string } | null;
  readonly kind: string;
  readonly rows: number;
  readonly first_seen_at: string;
  readonly sample_ids: readonly string[];
  readonly sentence: string;
}

/** The published JSON shape of a group. */
export function driftGroupJson(group: DriftGroup): DriftGroupJson {
  return {
    table: group.table,
    column: group.column,
    cause: group.cause === null ? null : { code: group.cause.code, message: group.cause.message },
    kind: group.kind,
    rows: group.rows,
    first_seen_at: isoTime(group.firstSeenAtMs),
    sample_ids: group.sampleIds,
    sentence: groupSentence(group),
  };
}

const NO_CODES: DriftJson['column_causes'] = Object.freeze({});

/** Most drift has none, and of a hundred thousand each empty object would count. */
function causeCodes(causes: Drift['columnCauses']): DriftJson['column_causes'] {
  let codes: Record<string, string> | null = null;
  for (const column in causes) {
    const cause = causes[column];
    if (cause !== undefined) (codes ??= {})[column] = cause.code;
  }
  return codes ?? NO_CODES;
}

/** The last times that were asked for: drift is told in batches seen at one time and confirmed at another. */
let told = { timeMs: 0, text: new Date(0).toISOString() };
let toldBefore = told;

function isoTime(timeMs: number): string {
  if (told.timeMs === timeMs) return told.text;
  const time = toldBefore.timeMs === timeMs ? toldBefore : { timeMs, text: new Date(timeMs).toISOString() };
  toldBefore = told;
  told = time;
  return time.text;
}
