import { BAG_ROWS_PER_READ, bagRow, isBag } from '../../domain/bag.ts';
import { LockstepError } from '../../domain/errors.ts';
import { withoutPageHeader } from '../../domain/log-position.ts';
import type { Pair, PairColumn, Side, SqlType, TableDescription, TableName } from '../../domain/pair.ts';
import { columnOn, keyNotUnique, qualifiedName, tableOn } from '../../domain/pair.ts';
import type { CanonicalValue, KeyId, RowKey } from '../../domain/row.ts';
import { comparesByNearness, keyId } from '../../domain/row.ts';
import type { DigestPath } from '../../domain/status.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import type { SlotWalStatus } from '../../domain/source-situation.ts';
import type { Pressure } from '../../domain/sweep-pause.ts';
import { CHAIN_PROBE_SQL } from '../../domain/values/hash-sql.ts';
import type { ApartDigest, BucketChoice, ClockSample, Database, Digest, KeyRange, LogProgress, PartDigest, RowDigest, RowHashCounts, RowRead, RowsRead } from '../../verify/ports.ts';
import { apartStatement, copyApartStatement } from './apart-sql.ts';
import { describeExpression, describeTable } from './catalogue.ts';
import { ClientDigests } from './client-digests.ts';
import { bagValueChars, bagDigestsStatement, bagHashesStatement, bagRowsStatement } from './bag-sql.ts';
import type { SqlPath, Statement } from './digest-sql.ts';
import { bucketDigestsStatement, copyStatement, correlationStatement, digestStatement, keyAfterStatement, rowDigestsStatement, splitKeysStatement } from './digest-sql.ts';
import type { ByteOrdered } from './key-sql.ts';
import { ROW, canHold, filterSql, keyColumns, quoteTable, sortsAsText } from './key-sql.ts';
import { PRESSURE_SQL, pressureOf } from './pressure-sql.ts';
import type { RangesStatement } from './ranges-sql.ts';
import { copyRangesStatement, explainRangesStatement, isByIndex, isWhole, keysEveryStatement, rangeDigestsStatement, rangeRowsStatement } from './ranges-sql.ts';
import { epochUsSql, ROW_VALUES_AT, rowMarksSql, rowsSql } from './rows-sql.ts';
import type { SessionOptions, TextRow } from './session.ts';
import { Sessions } from './session.ts';

/** Keys of one read: large enough to make the round trip cheap, small enough to stay a quick statement. */
const KEYS_PER_READ_MAX = 1000;

/** Rows whose order follows their keys by less than this are read from all over the table. */
const ORDERED_CORRELATION_MIN = 0.5;

const NO_ROWS: PartDigest = { rows: 0, sum: '0' };

/** A bag is read as a whole: a sweep's scan and a recheck's at once, each for so long at most. */
const SCANS_AT_ONCE = 2;
const SCAN_TIMEOUT_MS = 1_800_000;

const WHOLE_TABLE: KeyRange = { from: null, to: null };

/** Locales of libc and of PostgreSQL's own provider that order text by its bytes. */
const BYTE_LOCALES = `('C', 'POSIX', 'C.UTF-8', 'C.utf8')`;

/**
 * Text columns whose own order is that of bytes. A database's or collation's LC_COLLATE says nothing where ICU sorts,
 * and is not what sorts under PostgreSQL's own provider, whose locales all go by code points. Servers before 15 have
 * no provider of databases: read through JSON, it is NULL there.
 */
const BYTE_ORDERED_SQL = `
SELECT a.attname::text
FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND CASE c.collprovider
  WHEN 'c' THEN c.collcollate IN ${BYTE_LOCALES}
  WHEN 'b' THEN true
  WHEN 'd' THEN (
    SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') WHEN 'c' THEN d.datcollate IN ${BYTE_LOCALES} ELSE to_jsonb(d) ->> 'datlocprovider' = 'b' END
    FROM pg_database d WHERE d.datname = current_database())
  ELSE false END`;

/** A table and its partitions or children: their files, which TRUNCATE and a rewrite replace, and columns. */
const SHAPE_SQL = `
WITH RECURSIVE tree(oid) AS (
  SELECT to_regclass($1)::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
SELECT md5(string_agg(concat_ws(' ', c.oid, pg_relation_filenode(c.oid), c.relrowsecurity, (
  SELECT string_agg(concat_ws(':', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped), ',' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)), ';' ORDER BY c.oid))
FROM tree JOIN pg_class c ON c.oid = tree.oid`;

export interface PostgresDatabaseOptions extends SessionOptions {
  /** The time of this process, µs since 1970. */
  readonly nowUs?: () => bigint;
}

/** One PostgreSQL, old or new: described, read by key and digested by range; never written to. */
export class PostgresDatabase implements Database {
  readonly side: Side;
  readonly maxKeysPerRead = KEYS_PER_READ_MAX;
  private readonly sessions: Sessions;
  /** For questions that read a whole table; without a connection until there is one. */
  private readonly scans: Sessions;
  private readonly nowUs: () => bigint;
  private readonly byteOrdered = new Map<string, ByteOrdered>();
  private commitTimes: boolean | null = null;
  /** Whether the server has all hash functions of the fast path; null: it was not asked yet. */
  private hashes: boolean | null = null;
  private readonly client: ClientDigests;

  constructor(options: PostgresDatabaseOptions) {
    this.side = options.side;
    this.sessions = new Sessions(options);
    this.scans = new Sessions({ ...options, pool: SCANS_AT_ONCE, statementTimeoutMs: Math.max(SCAN_TIMEOUT_MS, options.statementTimeoutMs ?? 0) });
    this.client = new ClientDigests({
      copy: (pair, range, withKeys, onData, signal) => this.copy(pair, range, withKeys, onData, signal),
      copyRanges: (pair, ranges, withKeys, onData, signal) => this.copyRanges(pair, ranges, withKeys, onData, signal),
      copyApart: (pair, range, keys, whole, onData, signal) => this.copyApart(pair, range, keys, whole, onData, signal),
      canonicalKey: (pair, texts) => this.canonicalKey(pair, texts),
    });
    this.nowUs = options.nowUs ?? ((): bigint => BigInt(Date.now()) * 1000n);
  }

  /** A table from the catalogue; null where there is none of that name. @throws LockstepError `not_a_table` */
  describeTable(table: TableName, signal?: AbortSignal): Promise<TableDescription | null> {
    return describeTable(this.sessions, table, signal);
  }

  /** The type of an expression over a table's columns. @throws LockstepError where the database refuses it */
  describeExpression(table: TableName, expression: string, signal?: AbortSignal): Promise<SqlType> {
    return describeExpression(this.sessions, table, expression, signal);
  }

  async serverVersion(signal?: AbortSignal): Promise<{ readonly text: string; readonly number: number }> {
    const row = await this.one(`SELECT current_setting('server_version'), current_setting('server_version_num')`, [], null, signal);
    return { text: row[0] ?? '', number: Number(row[1]) };
  }

  /** What tells this database from every other; a standby is the same as its primary. Null where the role may not see it. */
  async identity(signal?: AbortSignal): Promise<string | null> {
    try {
      const row = await this.one(`SELECT system_identifier::text, (SELECT oid::text FROM pg_database WHERE datname = current_database()) FROM pg_control_system()`, [], null, signal);
      return `${row[0]}/${row[1]}`;
    } catch (error) {
      if (error instanceof LockstepError && error.retry === 'final') return null;
      throw error;
    }
  }

  /** Whether the server keeps commit times, which make lag exact. */
  async trackCommitTimestamp(signal?: AbortSignal): Promise<boolean> {
    const row = await this.one(`SELECT current_setting('track_commit_timestamp')`, [], null, signal);
    this.commitTimes = row[0] === 'on';
    return this.commitTimes;
  }

  async readRows(pair: Pair, keys: readonly RowKey[], signal: AbortSignal, marked = false): Promise<RowsRead> {
    if (isBag(pair)) return this.readBag(pair, keys, signal);
    if (keys.length > this.maxKeysPerRead) throw new LockstepError('too_many_keys', `at most ${this.maxKeysPerRead} keys can be read at once`);
    const { asked, parameters } = this.byKey(pair, keys);
    const answered = await this.queryRows(pair, parameters, marked && (await this.canMark(pair, signal)), signal);
    const rows = new Map<KeyId, RowRead>();
    let readAtUs = 0n;
    let chars = 0;
    for (const told of answered) {
      const [place, startedAtUs, committedAtUs, mark = null] = told;
      if (place == null) {
        readAtUs = BigInt(startedAtUs ?? '0');
        continue;
      }
      for (let index = ROW_VALUES_AT; index < told.length; index++) chars += told[index]?.length ?? 0;
      const row = this.canonicalRow(pair, told, ROW_VALUES_AT);
      rows.set(keyId(asked[Number(place) - 1] as RowKey), { row, mark, committedAtUs: committedAtUs == null ? null : BigInt(committedAtUs) });
    }
    return { rows, readAtUs, chars };
  }

  async readMarks(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<ReadonlyMap<KeyId, string> | null> {
    if (isBag(pair) || !(await this.canMark(pair, signal))) return null;
    const { asked, parameters } = this.byKey(pair, keys);
    const answered = await this.sessions.query(rowMarksSql(pair, this.side), parameters, qualifiedName(tableOn(pair, this.side)), signal);
    return new Map(answered.map(([place, mark]) => [keyId(asked[Number(place) - 1] as RowKey), mark ?? '']));
  }

  /** Whether marks tell rows apart: not where nearness decides, nor on a server without the hash functions. */
  private async canMark(pair: Pair, signal: AbortSignal): Promise<boolean> {
    if (comparesByNearness(pair)) return false;
    this.hashes ??= (await this.hashFingerprint(signal)) !== null;
    return this.hashes;
  }

  async clock(signal: AbortSignal): Promise<ClockSample> {
    // The connection must be there before the time is taken.
    const ask = (): Promise<TextRow> => this.one(`SELECT ${epochUsSql('clock_timestamp()')}`, [], null, signal);
    await ask();
    const sentUs = this.nowUs();
    const row = await ask();
    return { databaseUs: BigInt(row[0] ?? '0'), sentUs, receivedUs: this.nowUs() };
  }

  async logProgress(signal: AbortSignal): Promise<LogProgress> {
    // now() was taken as the statement arrived: before the position is read. Servers before 13 do not have all columns: through JSON they are NULL.
    const rows = await this.sessions.query(
      `SELECT ${epochUsSql('now()')}, at.lsn::text, s.slot_name::text, s.plugin::text, s.active::text,
  (s.confirmed_flush_lsn - '0/0'::pg_lsn)::text, (r.write_lsn - '0/0'::pg_lsn)::text, s.active_pid::text, current_setting('wal_block_size'),
  to_jsonb(s) ->> 'wal_status', (s.restart_lsn - '0/0'::pg_lsn)::text, to_jsonb(s) ->> 'safe_wal_size',
  (SELECT nullif(setting::bigint, -1) * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')::text
FROM (SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END) - '0/0'::pg_lsn AS lsn) at
LEFT JOIN pg_replication_slots s ON s.slot_type = 'logical' AND s.database = current_database()
LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid`,
      [],
      null,
      signal,
    );
    const [first] = rows;
    return {
      clockUs: BigInt(first?.[0] ?? '0'),
      insertLsn: withoutPageHeader(BigInt(first?.[1] ?? '0'), BigInt(first?.[8] ?? '8192')),
      slots: rows
        .filter((row) => row[2] != null)
        .map((row) => ({
          name: row[2] ?? '',
          plugin: row[3] ?? '',
          active: row[4] === 'true',
          confirmedFlushLsn: bigintOrNull(row[5]),
          receivedLsn: bigintOrNull(row[6]),
          readerPid: row[7] == null ? null : Number(row[7]),
          walStatus: walStatusOf(row[9]),
          restartLsn: bigintOrNull(row[10]),
          safeWalBytes: bigintOrNull(row[11]),
        })),
      slotWalLimitBytes: bigintOrNull(first?.[12]),
    };
  }

  async pressure(signal: AbortSignal): Promise<Pressure> {
    return pressureOf(await this.one(PRESSURE_SQL, [], null, signal));
  }

  async subscriptionSlots(signal: AbortSignal): Promise<readonly string[]> {
    const rows = await this.sessions.query(
      `SELECT subslotname::text FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND subslotname IS NOT NULL`,
      [],
      null,
      signal,
    );
    return rows.map((row) => row[0] ?? '');
  }

  async estimateRows(pair: Pair, signal: AbortSignal): Promise<bigint> {
    const filter = filterSql(pair, this.side);
    const table = tableOn(pair, this.side);
    const rows = await this.sessions.query(
      `EXPLAIN SELECT FROM ${quoteTable(table)} AS ${ROW}${filter === '' ? '' : ` WHERE ${filter}`}`,
      [],
      qualifiedName(table),
      signal,
    );
    return BigInt(/rows=(\d+)/.exec(rows[0]?.[0] ?? '')?.[1] ?? '0');
  }

  async hashFingerprint(signal: AbortSignal): Promise<string | null> {
    try {
      const [row] = await this.sessions.query(`SELECT concat_ws(' ', ${CHAIN_PROBE_SQL.join(', ')})`, [], null, signal);
      return row?.[0] ?? null;
    } catch (error) {
      if (error instanceof LockstepError && error.retry === 'final') return null;
      throw error;
    }
  }

  async splitKeys(pair: Pair, after: RowKey | null, signal: AbortSignal): Promise<readonly RowKey[]> {
    const [key] = keyColumns(pair, this.side);
    if (key === undefined || key.column.expression !== undefined) return [];
    const { sql, parameters } = splitKeysStatement(pair, this.side, after);
    const rows = await this.sessions.query(sql, parameters, qualifiedName(tableOn(pair, this.side)), signal);
    return rows.map((row) => [this.canonical(pair, key.pairColumn, row[0] ?? '')]);
  }

  async keysAreScattered(pair: Pair, signal: AbortSignal): Promise<boolean> {
    const [key] = keyColumns(pair, this.side);
    if (key === undefined || key.column.expression !== undefined) return false;
    const { sql, parameters } = correlationStatement(pair, this.side, key.column.name);
    const [row] = await this.sessions.query(sql, parameters, qualifiedName(tableOn(pair, this.side)), signal);
    return row?.[0] !== undefined && row[0] !== null && Math.abs(Number(row[0])) < ORDERED_CORRELATION_MIN;
  }

  async digest(pair: Pair, range: KeyRange, path: DigestPath, signal: AbortSignal): Promise<Digest> {
    if (path === 'client') return this.client.digest(pair, range, signal);
    const [row] = await this.ranged(pair, signal, (byteOrdered) => digestStatement(pair, this.side, range, path, byteOrdered));
    return { rows: BigInt(row?.[0] ?? '0'), sum: row?.[1] ?? '0' };
  }

  async bucketDigests(pair: Pair, range: KeyRange, buckets: number, path: DigestPath, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    if (path === 'client') return this.client.bucketDigests(pair, range, buckets, signal);
    const [row] = await this.ranged(pair, signal, (byteOrdered) => bucketDigestsStatement(pair, this.side, range, buckets, path, byteOrdered));
    return digestsOf(row?.[0]);
  }

  async keyAfter(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<RowKey | null> {
    const [row] = await this.ranged(pair, signal, (byteOrdered) => keyAfterStatement(pair, this.side, range, rows, byteOrdered));
    return row === undefined ? null : this.canonicalKey(pair, row);
  }

  async rowDigests(pair: Pair, range: KeyRange, limit: number, path: DigestPath, signal: AbortSignal, only?: BucketChoice): Promise<readonly RowDigest[]> {
    if (path === 'client') return this.client.rowDigests(pair, range, limit, signal, only);
    const rows = await this.ranged(pair, signal, (byteOrdered) => rowDigestsStatement(pair, this.side, range, limit, path, byteOrdered, only));
    return this.rowDigestsOf(pair, rows);
  }

  async findsRanges(pair: Pair, signal: AbortSignal): Promise<boolean> {
    const [row] = await this.ranged(pair, signal, (byteOrdered) => explainRangesStatement(pair, this.side, byteOrdered));
    return row?.[0] != null && isByIndex(row[0]);
  }

  async keysEvery(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<readonly RowKey[]> {
    const found = await this.ranged(pair, signal, (byteOrdered) => keysEveryStatement(pair, this.side, range, rows, byteOrdered));
    return found.map((row) => this.canonicalKey(pair, row));
  }

  async rangeDigests(pair: Pair, ranges: readonly KeyRange[], path: DigestPath, signal: AbortSignal): Promise<readonly PartDigest[]> {
    const digests: PartDigest[] = ranges.map(() => NO_ROWS);
    const { whole, others } = this.byBounds(pair, ranges);
    const told = async (): Promise<void> => {
      if (whole.length === 0) return;
      const asked = whole.map((place) => ranges[place] as KeyRange);
      const answer = path === 'client' ? await this.client.rangeDigests(pair, asked, signal) : await this.tellRanges(pair, asked, path, signal);
      for (const [index, place] of whole.entries()) digests[place] = answer[index] ?? NO_ROWS;
    };
    const alone = others.map(async (place) => {
      const { rows, sum } = await this.digest(pair, ranges[place] as KeyRange, path, signal);
      digests[place] = { rows: Number(rows), sum };
    });
    await Promise.all([told(), ...alone]);
    return digests;
  }

  async rangeRowDigests(pair: Pair, ranges: readonly KeyRange[], limit: number, path: DigestPath, signal: AbortSignal): Promise<readonly RowDigest[]> {
    const { whole, others } = this.byBounds(pair, ranges);
    const read = async (): Promise<readonly RowDigest[]> => {
      if (whole.length === 0) return [];
      const asked = whole.map((place) => ranges[place] as KeyRange);
      if (path === 'client') return this.client.rangeRowDigests(pair, asked, limit, signal);
      return this.rowDigestsOf(pair, await this.ranged(pair, signal, (byteOrdered) => rangeRowsStatement(pair, this.side, asked, limit, path, byteOrdered)));
    };
    const alone = others.map((place) => this.rowDigests(pair, ranges[place] as KeyRange, limit, path, signal));
    return (await Promise.all([read(), ...alone])).flat();
  }

  async keyDigests(pair: Pair, keys: readonly RowKey[], path: DigestPath, signal: AbortSignal, range: KeyRange = WHOLE_TABLE): Promise<ReadonlyMap<KeyId, string>> {
    return (await this.askApart(pair, range, keys, path, false, signal)).apart;
  }

  async digestApart(pair: Pair, range: KeyRange, keys: readonly RowKey[], path: DigestPath, signal: AbortSignal): Promise<ApartDigest> {
    if (keys.length === 0) return { rest: await this.digest(pair, range, path, signal), apart: new Map() };
    const { whole, apart } = await this.askApart(pair, range, keys, path, true, signal);
    let sum = BigInt(whole.sum);
    for (const digest of apart.values()) sum -= BigInt(digest);
    return { rest: { rows: whole.rows - BigInt(apart.size), sum: sum.toString() }, apart };
  }

  async bagDigests(pair: Pair, buckets: number, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    const [row] = await this.scan(pair, bagDigestsStatement(pair, this.side, buckets), signal);
    return digestsOf(row?.[0]);
  }

  async bagHashes(pair: Pair, choice: BucketChoice, limit: number, signal: AbortSignal): Promise<RowHashCounts> {
    const rows = await this.scan(pair, bagHashesStatement(pair, this.side, choice, limit), signal);
    return new Map(rows.map(([hash, count]) => [hash ?? '', BigInt(count ?? '0')]));
  }

  async shape(pair: Pair, signal: AbortSignal): Promise<string> {
    const table = tableOn(pair, this.side);
    const [row] = await this.sessions.query(SHAPE_SQL, [quoteTable(table)], qualifiedName(table), signal);
    return row?.[0] ?? '';
  }

  /** Ends all connections; statements under way are waited for. */
  async close(): Promise<void> {
    await Promise.all([this.sessions.close(), this.scans.close()]);
  }

  /** Places of ranges that one statement can ask for together, and of those that it cannot: at the ends of the table and of its parts. */
  private byBounds(pair: Pair, ranges: readonly KeyRange[]): { readonly whole: readonly number[]; readonly others: readonly number[] } {
    const whole: number[] = [];
    const others: number[] = [];
    for (const [place, range] of ranges.entries()) (isWhole(pair, this.side, range) ? whole : others).push(place);
    return { whole, others };
  }

  private async tellRanges(pair: Pair, ranges: readonly KeyRange[], path: SqlPath, signal: AbortSignal): Promise<readonly PartDigest[]> {
    const [row] = await this.ranged(pair, signal, (byteOrdered) => rangeDigestsStatement(pair, this.side, ranges, path, byteOrdered));
    const digests: PartDigest[] = [];
    for (const told of row?.[0]?.split(',') ?? []) {
      const [place = '', rows = '', sum = ''] = told.split(':');
      digests[Number(place) - 1] = { rows: Number(rows), sum };
    }
    return digests;
  }

  private rowDigestsOf(pair: Pair, rows: readonly TextRow[]): RowDigest[] {
    return rows.map((row) => ({ key: this.canonicalKey(pair, row), digest: row[pair.key.length] ?? '' }));
  }

  /** Those of the keys that the side's key columns can hold, and their texts column by column. */
  private byKey(pair: Pair, keys: readonly RowKey[]): { readonly asked: readonly RowKey[]; readonly parameters: readonly string[][] } {
    const columns = keyColumns(pair, this.side);
    const asked = keys.filter((key) => columns.every((column, index) => canHold(column, key[index] as string)));
    return { asked, parameters: columns.map((_column, index) => asked.map((key) => key[index] as string)) };
  }

  private async queryRows(pair: Pair, parameters: readonly string[][], marked: boolean, signal: AbortSignal): Promise<TextRow[]> {
    const table = qualifiedName(tableOn(pair, this.side));
    const commitTimes = this.commitTimes ?? (await this.trackCommitTimestamp(signal));
    try {
      return await this.sessions.query(rowsSql(pair, this.side, commitTimes, marked), parameters, table, signal);
    } catch (error) {
      // The server was restarted with track_commit_timestamp off: ask again what it keeps.
      if (!commitTimes || !isMissingCommitTimes(error)) throw error;
      const still = await this.trackCommitTimestamp(signal);
      if (still) throw error;
      return this.sessions.query(rowsSql(pair, this.side, false, marked), parameters, table, signal);
    }
  }

  /** Rows of a bag by their hashes. */
  private async readBag(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<RowsRead> {
    if (keys.length > BAG_ROWS_PER_READ) throw new LockstepError('too_many_keys', `at most ${BAG_ROWS_PER_READ} rows of a bag can be read at once`);
    const rows = new Map<KeyId, RowRead>();
    let readAtUs = 0n;
    let chars = 0;
    const wanted = keys.map((key) => key[0] as string);
    for (const [hash, startedAtUs, copies, ...texts] of await this.scan(pair, bagRowsStatement(pair, this.side, wanted), signal)) {
      for (const text of texts) chars += text?.length ?? 0;
      if (hash == null) readAtUs = BigInt(startedAtUs ?? '0');
      else rows.set(keyId([hash]), { row: bagRow(this.shownValues(pair, texts), copies ?? '0'), committedAtUs: null });
    }
    return { rows, readAtUs, chars };
  }

  /** Values that are only shown: those that were cut have no canonical form. */
  private shownValues(pair: Pair, texts: TextRow): CanonicalValue[] {
    const cutAt = bagValueChars(pair);
    return pair.columns.map((column, index) => {
      const text = texts[index];
      if (text == null) return null;
      return text.length >= cutAt ? `${text}…` : valuesOf(column, this.side).fromText(text);
    });
  }

  /** Asks a question that reads a whole table. */
  private scan(pair: Pair, { sql, parameters }: Statement, signal: AbortSignal): Promise<TextRow[]> {
    return this.scans.query(sql, parameters, qualifiedName(tableOn(pair, this.side)), signal);
  }

  /** A range's digest, where `whole`, and the digests of its rows that have these keys; all of one moment. */
  private async askApart(pair: Pair, range: KeyRange, keys: readonly RowKey[], path: DigestPath, whole: boolean, signal: AbortSignal): Promise<{ readonly whole: Digest; readonly apart: ReadonlyMap<KeyId, string> }> {
    const { asked, parameters } = this.byKey(pair, keys);
    const apart = new Map<KeyId, string>();
    const put = (place: number, digest: string): void => {
      const id = keyId(asked[place - 1] as RowKey);
      if (apart.has(id)) throw keyNotUnique(pair, this.side);
      apart.set(id, digest);
    };
    if (path === 'client') {
      const answer = await this.client.apart(pair, range, asked, whole, signal);
      for (const [place, digest] of answer.apart) put(place, digest);
      return { whole: answer.whole, apart };
    }
    const rows = await this.ranged(pair, signal, (byteOrdered) => apartStatement(pair, this.side, range, parameters, path, byteOrdered, whole));
    let total: Digest = { rows: 0n, sum: '0' };
    for (const [place = null, digest = null, sum = null] of rows) {
      if (place === null) total = { rows: BigInt(digest ?? '0'), sum: sum ?? '0' };
      else put(Number(place), digest ?? '');
    }
    return { whole: total, apart };
  }

  private async copyApart(pair: Pair, range: KeyRange, keys: readonly RowKey[], whole: boolean, onData: (piece: Buffer) => void, signal: AbortSignal): Promise<void> {
    const { parameters } = this.byKey(pair, keys);
    const sql = copyApartStatement(pair, this.side, range, parameters, await this.byteOrderedColumns(pair, signal), whole);
    await this.sessions.copyOut(sql, onData, qualifiedName(tableOn(pair, this.side)), signal);
  }

  private async copy(pair: Pair, range: KeyRange, withKeys: boolean, onData: (piece: Buffer) => void, signal: AbortSignal): Promise<void> {
    const sql = copyStatement(pair, this.side, range, withKeys, await this.byteOrderedColumns(pair, signal));
    await this.sessions.copyOut(sql, onData, qualifiedName(tableOn(pair, this.side)), signal);
  }

  private async copyRanges(pair: Pair, ranges: readonly KeyRange[], withKeys: boolean, onData: (piece: Buffer) => void, signal: AbortSignal): Promise<void> {
    const sql = copyRangesStatement(pair, this.side, ranges, withKeys, await this.byteOrderedColumns(pair, signal));
    await this.sessions.copyOut(sql, onData, qualifiedName(tableOn(pair, this.side)), signal);
  }

  private async ranged(pair: Pair, signal: AbortSignal, statement: (byteOrdered: ByteOrdered) => Statement | RangesStatement): Promise<TextRow[]> {
    const { sql, parameters } = statement(await this.byteOrderedColumns(pair, signal));
    return this.sessions.query(sql, parameters, qualifiedName(tableOn(pair, this.side)), signal);
  }

  private async byteOrderedColumns(pair: Pair, signal: AbortSignal): Promise<ByteOrdered> {
    if (!keyColumns(pair, this.side).some(sortsAsText)) return new Set();
    const table = tableOn(pair, this.side);
    const known = this.byteOrdered.get(quoteTable(table));
    if (known !== undefined) return known;
    const rows = await this.sessions.query(BYTE_ORDERED_SQL, [quoteTable(table)], qualifiedName(table), signal);
    const columns = new Set(rows.map((row) => row[0] ?? ''));
    this.byteOrdered.set(quoteTable(table), columns);
    return columns;
  }

  /** @param first where the row's values begin */
  private canonicalRow(pair: Pair, values: TextRow, first: number): CanonicalValue[] {
    return pair.columns.map((column, index) => {
      const text = values[first + index];
      return text == null ? null : this.canonical(pair, column, text);
    });
  }

  private canonicalKey(pair: Pair, values: TextRow): RowKey {
    return pair.key.map((position, index) => this.canonical(pair, pair.columns[position] as PairColumn, values[index] ?? ''));
  }

  private canonical(pair: Pair, column: PairColumn, text: string): string {
    try {
      return valuesOf(column, this.side).fromText(text);
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error;
      throw new LockstepError(error.code, `${qualifiedName(tableOn(pair, this.side))} on ${this.side}, column "${columnOn(column, this.side).name}": ${error.message}`, {
        about: { side: this.side, table: qualifiedName(tableOn(pair, this.side)), column: column.name },
      });
    }
  }

  private async one(sql: string, parameters: readonly string[], table: string | null, signal?: AbortSignal): Promise<TextRow> {
    const [row] = await this.sessions.query(sql, parameters, table, signal);
    if (row === undefined) throw new LockstepError('query_failed', `${this.side} database answered nothing`, { about: { side: this.side } });
    return row;
  }
}

/** Digests by bucket, as `bucket:rows:sum` parted by commas. */
function digestsOf(text: string | null | undefined): Map<number, Digest> {
  const digests = new Map<number, Digest>();
  for (const told of text?.split(',') ?? []) {
    const [bucket = '', rows = '', sum = ''] = told.split(':');
    digests.set(Number(bucket), { rows: BigInt(rows), sum });
  }
  return digests;
}

function walStatusOf(text: string | null | undefined): SlotWalStatus {
  return text === 'reserved' || text === 'extended' || text === 'unreserved' || text === 'lost' ? text : null;
}

function bigintOrNull(text: string | null | undefined): bigint | null {
  return text == null ? null : BigInt(text);
}

function isMissingCommitTimes(error: unknown): boolean {
  return error instanceof LockstepError && error.cause instanceof Error && 'code' in error.cause && error.cause.code === '55000';
}
