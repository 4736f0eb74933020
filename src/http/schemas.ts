import { Type } from '@sinclair/typebox';
import type { Static, TSchema } from '@sinclair/typebox';
import { DISCHARGED_BY, type DischargedBy } from '../domain/dead-letter.ts';
import type { DriftKind, DriftStatus, FoundBy } from '../domain/drift.ts';
import { DRIFT_KINDS, FOUND_BY } from '../domain/drift.ts';
import type { GateReport, Phase } from '../domain/gate.ts';
import { PHASES } from '../domain/gate.ts';
import type { Side } from '../domain/pair.ts';
import { PAUSE_REASONS } from '../domain/sweep-pause.ts';
import type { PipelineFinding, RowCheckResult, SweepKind, SweepStatus } from '../domain/status.ts';
import { DEFAULT_LIMIT, MAX_LIMIT } from './lists.ts';

/** Keys in one POST /v1/checks: one batched read on each side. */
export const MAX_CHECK_KEYS = 500;
/** Longest opaque cursor and longest name that a request may carry. */
const MAX_CURSOR_LENGTH = 1_024;
const MAX_NAME_LENGTH = 256;
const MAX_KEY_LENGTH = 16_384;
/** Kafka's longest topic name, partition and offset. */
const MAX_DEAD_LETTER_ID_LENGTH = 300;
const MAX_REASON_LENGTH = 1_000;
/** More tables than any one migration has. */
const MAX_TABLES = 10_000;

const DRIFT_STATUSES: readonly DriftStatus[] = ['open', 'resolved', 'ignored'];
const SWEEP_KINDS: readonly SweepKind[] = ['full', 'incremental'];
const SWEEP_STATUSES: readonly SweepStatus[] = ['running', 'settling', 'done', 'cancelled', 'failed'];
const CHECK_VERDICTS: readonly RowCheckResult['verdict'][] = ['match', 'mismatch', 'inconclusive', 'hot', 'unverifiable'];
const ACTIONS: readonly GateReport['action'][] = ['proceed', 'hold', 'rollback'];
const GATE_VERDICTS: readonly GateReport['verdict'][] = ['pass', 'fail', 'unknown'];
const SIDES: readonly Side[] = ['old', 'new'];
const COVERAGES = ['stream_and_sweep', 'sampled', 'sweep_only'] as const;
const STRATEGIES = ['portable', 'fast', 'client'] as const;
const REASON_SEVERITIES = ['fail', 'unknown', 'info'] as const;
const SEVERITIES = ['info', 'warning', 'error'] as const;

function OneOf<Value extends string>(values: readonly Value[], description?: string) {
  return Type.Unsafe<Value>({ type: 'string', enum: [...values], ...(description === undefined ? {} : { description }) });
}

function Nullable<Schema extends TSchema>(schema: Schema) {
  return Type.Union([schema, Type.Null()]);
}

function Closed<Properties extends Record<string, TSchema>>(properties: Properties, options: { $id?: string; description?: string } = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** A reference by name whose static type is that of `schema`. */
function RefTo<Schema extends TSchema>(schema: Schema) {
  return Type.Unsafe<Static<Schema>>({ $ref: `${schema.$id as string}#` });
}

const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC, milliseconds' });
const Count = Type.Integer({ minimum: 0 });
const Sample = Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]));
const Phases = OneOf<Phase>(PHASES);

export const ProblemSchema = Closed(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable; decide by it' }),
    instance: Type.String(),
  },
  { $id: 'Problem', description: 'RFC 9457' },
);

export const GateSchema = Closed(
  {
    verdict: OneOf(GATE_VERDICTS),
    action: OneOf(ACTIONS),
    phase: Phases,
    reasons: Type.Array(
      Closed({
        code: Type.String(),
        severity: OneOf(REASON_SEVERITIES, '`info` keeps nothing from passing'),
        table: Nullable(Type.String()),
        message: Type.String(),
        observed: Type.Union([Type.String(), Type.Number(), Type.Null()]),
        limit: Type.Union([Type.String(), Type.Number(), Type.Null()]),
      }),
    ),
    evaluated_at: Time,
  },
  { $id: 'Gate' },
);
export type GateJson = Static<typeof GateSchema>;

const CauseSchema = Closed({ code: Type.String({ description: 'Stable; decide by it' }), message: Type.String() });

const DriftProperties = {
  id: Type.String(),
  table: Type.String(),
  key: Sample,
  kind: OneOf<DriftKind>(DRIFT_KINDS),
  columns: Type.Array(Type.String()),
  old: Nullable(Sample),
  new: Nullable(Sample),
  old_hash: Nullable(Type.String()),
  new_hash: Nullable(Type.String()),
  status: OneOf(DRIFT_STATUSES),
  found_by: OneOf<FoundBy>(FOUND_BY),
  cause: Nullable(CauseSchema),
  column_causes: Type.Record(Type.String(), Type.String(), { description: 'Column → code of its cause, for those whose cause is known' }),
  first_seen_at: Time,
  confirmed_at: Time,
  last_checked_at: Time,
  resolved_at: Nullable(Time),
  checks: Count,
  position: Nullable(
    Closed({
      topic: Type.String(),
      partition: Type.Integer(),
      offset: Type.String(),
      lsn: Nullable(Type.String()),
      tx_id: Nullable(Type.String()),
    }),
  ),
};
export const DriftSchema = Closed(DriftProperties, { $id: 'Drift', description: 'A proven difference of one row' });
export const DriftDetailSchema = Closed(
  { ...DriftProperties, events: Type.Array(Closed({ at: Time, event: OneOf(['confirmed', 'changed', 'resolved', 'ignored', 'reopened']), detail: Type.String() })) },
  { $id: 'DriftDetail', description: 'A drift with its history, oldest first' },
);

export const DriftGroupSchema = Closed(
  {
    table: Type.String(),
    column: Nullable(Type.String({ description: 'null: whole rows' })),
    cause: Nullable(CauseSchema),
    kind: OneOf<DriftKind>(DRIFT_KINDS),
    rows: Count,
    first_seen_at: Time,
    sample_ids: Type.Array(Type.String(), { description: 'Ids of some of its drift' }),
    sentence: Type.String({ description: 'The group in one sentence' }),
  },
  { $id: 'DriftGroup', description: 'Drift of one table, column, cause and kind' },
);

export const DeadLetterSchema = Closed(
  {
    id: Type.String(),
    table: Nullable(Type.String()),
    topic: Type.String(),
    partition: Type.Integer(),
    offset: Type.String(),
    reason: Type.String({ description: 'Stable code of what was wrong' }),
    message: Type.String(),
    at: Time,
    attempts: Type.Integer({ minimum: 0, description: 'Retries in vain' }),
    last_attempt_at: Nullable(Time),
    discharged_at: Nullable(Time),
    discharged_by: Nullable(OneOf<DischargedBy>(DISCHARGED_BY)),
  },
  { $id: 'DeadLetter', description: 'A record that could not be decoded' },
);
export type DeadLetterJson = Static<typeof DeadLetterSchema>;
export const RetryCountsSchema = Closed(
  {
    retried: Type.Integer({ minimum: 0, description: 'Decoded; what they say is being verified' }),
    undecodable: Type.Integer({ minimum: 0, description: 'Still not decodable; the list says why' }),
    gone: Type.Integer({ minimum: 0, description: 'The topic has them no more: sweep the table' }),
    not_retryable: Type.Integer({ minimum: 0, description: 'The source cannot give them again: sweep the table' }),
    more: Type.Boolean({ description: 'There are more than this call came to; call again' }),
  },
  { $id: 'RetryCounts' },
);
export type RetryCountsJson = Static<typeof RetryCountsSchema>;

const SideCounts = Closed({ old: Nullable(Count), new: Nullable(Count) });
export const SweepTableSchema = Closed(
  {
    table: Type.String(),
    kind: OneOf(SWEEP_KINDS),
    kind_reason: Type.String({ description: 'What an incremental sweep compares, or why it is a full one instead' }),
    status: OneOf(SWEEP_STATUSES),
    strategy: OneOf(STRATEGIES),
    strategy_reason: Type.String(),
    progress_ratio: Type.Number({ minimum: 0, maximum: 1 }),
    rows_per_second: Nullable(Type.Number({ minimum: 0, description: 'Rows compared a second over the last seconds; null unless the sweep is under way' })),
    eta_ms: Nullable(Type.Number({ minimum: 0, description: 'Until all rows are compared at that rate; null while that cannot be told' })),
    paused_by: Nullable(OneOf(PAUSE_REASONS)),
    chunks_done: Count,
    chunks_differing: Count,
    rows: Closed({ old: Count, new: Count }),
    suspects: Type.Integer({ minimum: 0, description: 'Rows whose digests differed and that were rechecked; some may wait for it still' }),
    in_flight: Type.Integer({ minimum: 0, description: 'Suspects that were equal when they were looked at again, or left to the stream with a change under way' }),
    equivalent: Type.Integer({ minimum: 0, description: 'Suspects equal in value, though their digests differ, in a sample of those found equal: many mean that a digest is wrong' }),
    unverifiable: Type.Integer({ minimum: 0, description: 'Suspects that never came to rest' }),
    drift: Count,
    started_at: Time,
    ended_at: Nullable(Time),
    error: Nullable(Type.String()),
  },
  { $id: 'SweepTable' },
);
export type SweepTableJson = Static<typeof SweepTableSchema>;
export const SweepSchema = Closed(
  { id: Type.String(), kind: OneOf(SWEEP_KINDS), status: OneOf(SWEEP_STATUSES), started_at: Time, ended_at: Nullable(Time), processes: Nullable(Type.Integer({ description: 'Processes that share it now; null when it is not under way here' })), tables: Type.Array(RefTo(SweepTableSchema)) },
  { $id: 'Sweep' },
);
export type SweepJson = Static<typeof SweepSchema>;

const LagProperties = {
  current_ms: Nullable(Type.Number()),
  p50_ms: Nullable(Type.Number()),
  p95_ms: Nullable(Type.Number()),
  p99_ms: Nullable(Type.Number()),
  samples: Count,
  exact_ratio: Nullable(Type.Number({ description: 'Share of the samples that is exact rather than bounded by two reads' })),
  window_ms: Type.Number(),
  breaches: Count,
};
const LagFiguresSchema = Closed(LagProperties);
export type LagFiguresJson = Static<typeof LagFiguresSchema>;
export const TableLagSchema = Closed(
  {
    table: Type.String(),
    ...LagProperties,
    budget_ms: Type.Number(),
    objective: Type.Number(),
    error_budget_remaining_ratio: Nullable(Type.Number()),
    burn_rates: Type.Record(Type.String(), Nullable(Type.Number()), { description: 'Window → how many times faster than allowed the error budget is spent' }),
  },
  { $id: 'TableLag' },
);
export type TableLagJson = Static<typeof TableLagSchema>;

const MissingEvidence = Nullable(Type.String({ description: 'What of the stream could not be read, and where the first of it stands' }));
const TableLineSchema = Closed({
  table: Type.String(),
  verified_through: Nullable(Time),
  held_by: Nullable(Type.String()),
  pending: Count,
  drift: Count,
  rows: SideCounts,
  row_count_delta: Nullable(Type.Integer()),
  lag_p99_ms: Nullable(Type.Number()),
  dead_letters: Count,
  missing_evidence: MissingEvidence,
  unverifiable: Count,
  last_clean_sweep: Nullable(Time),
  last_sweep_ended: Nullable(Time),
  sweep_progress_ratio: Nullable(Type.Number()),
});
export type TableLineJson = Static<typeof TableLineSchema>;

const FindingSchema = Closed({
  finding: Type.Unsafe<PipelineFinding>({ type: 'string' }),
  since: Time,
  message: Type.String(),
  observed: Nullable(Type.Number({ description: 'What was measured, in the unit of `limit`: seconds, bytes or records' })),
  limit: Nullable(Type.Number()),
  tables: Nullable(Type.Array(Type.String(), { description: 'Null: it concerns all tables' })),
});
export type FindingJson = Static<typeof FindingSchema>;

const SourceSchema = Closed(
  {
    slots: Type.Array(
      Closed({
        name: Type.String(),
        active: Type.Boolean({ description: 'Somebody reads it' }),
        wal_status: Nullable(Type.String({ description: 'As PostgreSQL has it: reserved, extended, unreserved, lost' })),
        retained_bytes: Nullable(Type.Number({ description: 'Log that the primary keeps for it' })),
        safe_bytes: Nullable(Type.Number({ description: 'Log that may still be written before it is lost; null: no limit' })),
        limit_bytes: Nullable(Type.Number({ description: '`max_slot_wal_keep_size`; null: no limit' })),
      }),
      { description: 'Replication slots on the primary that feed the stream, or may' },
    ),
    heartbeat_age_ms: Nullable(Type.Number({ description: "Since the source connectors' last heartbeat; null: none are known" })),
    primary_idle: Nullable(
      Closed(
        { for_ms: Type.Number(), limit_ms: Type.Number(), log_moved_bytes: Type.String() },
        { description: 'The primary has written no compared table for so long, as far as the stream proves it: no failure. Null: it writes, or nobody knows' },
      ),
    ),
  },
);
export type SourceJson = Static<typeof SourceSchema>;

const SkewSchema = Nullable(Closed({ offset_ms: Type.Number(), bound_ms: Type.Number() }));
export const SummarySchema = Closed(
  {
    migration: Type.String(),
    phase: Phases,
    primary: OneOf(SIDES),
    verified_through: Nullable(Time),
    verified_lag_ms: Nullable(Type.Number()),
    open_drift: Count,
    pipeline: Type.Array(FindingSchema),
    source: SourceSchema,
    gate: RefTo(GateSchema),
    clock_skew_ms: Closed({ old: SkewSchema, new: SkewSchema }),
    consumer_lag: Type.Array(Closed({ topic: Type.String(), partition: Type.Integer(), messages: Type.Integer() })),
    tables: Type.Array(TableLineSchema),
  },
  { $id: 'Summary' },
);
export type SummaryJson = Static<typeof SummarySchema>;

export const TableSchema = Closed(
  {
    table: Type.String(),
    new_table: Type.String(),
    key: Type.Array(Type.String({ description: 'Empty: the table is compared as a bag of rows, and its drift is known by `row_hash`' })),
    coverage: OneOf(COVERAGES, '`sampled`: of the stream’s changes only those of a part of the keys are checked, and verified-through speaks of those'),
    sample_ratio: Type.Number({ description: 'Share of the keys whose changes are checked' }),
    verified_through: Nullable(Time),
    held_by: Nullable(Type.String({ description: 'Why verified-through is absent or stands still' })),
    rows: SideCounts,
    row_count_delta: Nullable(Type.Integer({ description: 'New less old, net of rows in flight' })),
    lag: LagFiguresSchema,
    pending: Count,
    oldest_pending: Nullable(Time),
    hot_keys: Count,
    unverifiable: Count,
    drift: Count,
    drift_by_kind: Closed({ missing: Count, extra: Count, different: Count, stale: Count, stream_gap: Count }),
    dead_letters: Count,
    missing_evidence: MissingEvidence,
    pipeline: Type.Array(FindingSchema, { description: 'Findings of the pipeline that concern the table' }),
    last_clean_sweep: Nullable(Time),
    last_sweep_ended: Nullable(Time),
    last_clean_incremental_sweep: Nullable(Time),
    last_incremental_sweep_ended: Nullable(Time),
    touched_keys: Count,
    needs_full_sweep: Nullable(Type.String({ description: 'Why the next sweep must be a full one' })),
    sweep: Nullable(RefTo(SweepTableSchema)),
    strategy: Nullable(OneOf(STRATEGIES)),
    schema_findings: Type.Array(Closed({ severity: OneOf(SEVERITIES), message: Type.String() })),
  },
  { $id: 'Table' },
);
export type TableJson = Static<typeof TableSchema>;

export const RowCheckSchema = Closed(
  { key: Sample, verdict: OneOf(CHECK_VERDICTS), columns: Type.Array(Type.String()), message: Type.String(), lag_ms: Nullable(Type.Number()) },
  { $id: 'RowCheck' },
);
export type RowCheckJson = Static<typeof RowCheckSchema>;
export const RowChecksSchema = Closed({ table: Type.String(), results: Type.Array(RefTo(RowCheckSchema)) });

export const PhaseSchema = Closed({ migration: Type.String(), phase: Phases, primary: OneOf(SIDES), gate: RefTo(GateSchema) });
export const HealthSchema = Closed({ status: OneOf(['live']) });
export const ReadinessSchema = Closed({ ready: Type.Boolean(), reasons: Type.Array(Type.String()) });
export const AcceptedSchema = Closed({ status: OneOf(['accepted']) });

/** Named schemas, as OpenAPI's components list them. */
export const COMPONENTS: readonly TSchema[] = [
  ProblemSchema, GateSchema, DriftSchema, DriftDetailSchema, DriftGroupSchema, DeadLetterSchema, RetryCountsSchema, SweepTableSchema, SweepSchema, TableLagSchema, SummarySchema,
  TableSchema, RowCheckSchema,
];

const ListProperties = {
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: '`next_cursor` of the page before' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })),
};
export const ListQuerySchema = Closed(ListProperties);
export const DriftQuerySchema = Closed({
  ...ListProperties,
  table: Type.Optional(Type.String({ maxLength: MAX_NAME_LENGTH })),
  kind: Type.Optional(OneOf<DriftKind>(DRIFT_KINDS)),
  status: Type.Optional(OneOf(DRIFT_STATUSES)),
  cause: Type.Optional(Type.String({ maxLength: MAX_NAME_LENGTH, description: "Code of the drift's cause, or of one of its columns'" })),
  found_by: Type.Optional(OneOf<FoundBy>(FOUND_BY)),
  min_age_s: Type.Optional(Type.Number({ minimum: 0, description: 'First seen at least so many seconds ago' })),
  since: Type.Optional(Type.String({ format: 'date-time', description: 'Confirmed at or after' })),
  key: Type.Optional(Type.String({ maxLength: MAX_KEY_LENGTH, description: 'JSON object of column → value, such as {"id":5}' })),
  group: Type.Optional(OneOf(['cause'], 'Groups by table, column, cause and kind in place of single drift, most rows first')),
});
export const DeadLetterQuerySchema = Closed({ ...ListProperties, table: Type.Optional(Type.String({ maxLength: MAX_NAME_LENGTH })) });
export const LagQuerySchema = Closed({ ...ListProperties, window: Type.Optional(Type.String({ maxLength: 16, description: 'Such as 1h; the configured window when absent' })) });
export const GateQuerySchema = Closed({ phase: Type.Optional(Phases) });
export const IdParamsSchema = Closed({ id: Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH }) });
export const DeadLetterParamsSchema = Closed({ id: Type.String({ minLength: 1, maxLength: MAX_DEAD_LETTER_ID_LENGTH, description: 'topic:partition:offset' }) });
export const TableParamsSchema = Closed({ old: Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, description: "Old's qualified table name" }) });
export const DeadLetterRetryBodySchema = Closed({
  table: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })),
  topic: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })),
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })),
  // A number arrives as its text: see `parseExactJson`.
  limit: Type.Optional(
    Type.Unsafe<string>({ type: ['string', 'integer'], pattern: '^(?:[1-9]\\d?|[1-4]\\d\\d|500)$', minimum: 1, maximum: MAX_LIMIT, default: String(DEFAULT_LIMIT) }),
  ),
});
export const ReasonBodySchema = Closed({ reason: Type.String({ minLength: 1, maxLength: MAX_REASON_LENGTH }) });
export const SweepBodySchema = Closed({
  tables: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH }), { minItems: 1, maxItems: MAX_TABLES })),
  kind: Type.Optional(OneOf(SWEEP_KINDS)),
});
/** Numbers arrive as their text: see `parseExactJson`. */
const KeyValue = Type.Unsafe<string | boolean>({ type: ['string', 'number', 'boolean'] });
export const ChecksBodySchema = Closed({
  table: Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH }),
  keys: Type.Array(Type.Record(Type.String(), KeyValue, { minProperties: 1 }), { minItems: 1, maxItems: MAX_CHECK_KEYS }),
});

/** The answer of a route that lists one thing or, asked otherwise, another. */
export function PageOfEither<One extends TSchema, Other extends TSchema>(one: One, other: Other) {
  return Type.Union([PageOf(one), PageOf(other)]);
}

/** The answer of a list route. */
export function PageOf<Schema extends TSchema>(item: Schema) {
  return Closed({ items: Type.Array(RefTo(item)), next_cursor: Nullable(Type.String()) });
}

const problem = (description: string) => ({ description, content: { 'application/problem+json': { schema: RefTo(ProblemSchema) } } });
const PROBLEMS: Readonly<Record<number, ReturnType<typeof problem>>> = {
  400: problem('The request is not valid'),
  401: problem('No token, or one that is not known'),
  403: problem("The token's scope does not cover this"),
  404: problem('There is no such thing'),
  409: problem('Something stands in the way'),
  413: problem('The body is too large'),
  422: problem('It cannot be done as things are'),
  415: problem('The body is not JSON'),
  500: problem('Something went wrong'),
  503: problem('Out of reach or overloaded for now'),
};

/** The problems that a route may answer with besides those that every route may. */
export function problems(...extra: readonly number[]) {
  return Object.fromEntries([401, 403, 500, 503, ...extra].map((status) => [status, PROBLEMS[status]]));
}

/** A reference to a named schema for a route's answer. */
export function answer<Schema extends TSchema>(description: string, schema: Schema) {
  return { description, content: { 'application/json': { schema: schema.$id === undefined ? schema : RefTo(schema) } } };
}
