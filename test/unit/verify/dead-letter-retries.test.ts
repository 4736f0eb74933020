import { beforeEach, describe, expect, it } from 'vitest';
import type { RowChange, SourceRecord, TableTruncated } from '../../../src/domain/change.ts';
import type { DeadLetter, DeadLetterPlace } from '../../../src/domain/dead-letter.ts';
import { LockstepError } from '../../../src/domain/errors.ts';
import { hashImage } from '../../../src/domain/recheck.ts';
import { keyId } from '../../../src/domain/row.ts';
import { DeadLetterRetries } from '../../../src/verify/dead-letter-retries.ts';
import { LateChanges } from '../../../src/verify/late-changes.ts';
import { PendingChecks } from '../../../src/verify/pending-checks.ts';
import type { KeptLetter, Redecoded } from '../../../src/verify/ports.ts';
import { Proofs, type EndedSweep } from '../../../src/verify/proofs.ts';
import { VersionHistory } from '../../../src/verify/version-history.ts';
import { CountingMetrics, hasher, textPair } from './memory/samples.ts';

const pair = textPair();
const table = pair.id;
const GAP_US = 5_000n;
const place = (offset: string): DeadLetterPlace => ({ topic: 'shop.public.items', partition: 0, offset });

function row(offset: string, change: Partial<RowChange> = {}): RowChange {
  return {
    type: 'row',
    pair,
    side: 'old',
    op: 'update',
    key: ['k'],
    image: ['k', offset, 'x'],
    before: null,
    committedAtUs: BigInt(offset) * 10n,
    snapshot: 'none',
    position: { ...place(offset), lsn: BigInt(offset), txId: null },
    ...change,
  };
}

let pending: PendingChecks;
let proofs: Proofs;
let history: VersionHistory;
let retries: DeadLetterRetries;
let letters: Map<string, KeptLetter>;
let answers: Map<string, Redecoded | Error>;
let attempts: [string, string, string][];
let written: () => Promise<void>;

function die(offset: string, change: Partial<DeadLetter> = {}, gapUs: bigint | null = GAP_US): void {
  const letter: DeadLetter = {
    table,
    position: { ...place(offset), lsn: null, txId: null },
    reason: 'not_json',
    message: 'was bad',
    atMs: 5,
    dischargedAtMs: null,
    dischargedBy: null,
    attempts: 0,
    lastAttemptAtMs: null,
    ...change,
  };
  letters.set(offset, { letter, record: null, gapUs });
  if (gapUs !== null) proofs.deadLetter(table, gapUs, place(offset));
}

const says = (offset: string, record: SourceRecord): void => void answers.set(offset, { kind: 'record', record });
const check = (): unknown => {
  const found = pending.get(table, keyId(['k']));
  return found === undefined ? null : { versions: found.versions.map(({ lsn }) => lsn), suspected: found.suspected, holdsUs: found.holdsUs };
};
const SWEEP: EndedSweep = { startedAtUs: GAP_US + 1n, endedAtMs: 50, clean: true, asked: false, oldRows: 1n, newRows: 1n };

beforeEach(() => {
  pending = new PendingChecks([pair]);
  proofs = new Proofs([table]);
  history = new VersionHistory(10);
  letters = new Map();
  answers = new Map();
  attempts = [];
  written = () => Promise.resolve();
  const clock = { nowMs: () => 100, nowUs: () => 100_000n, sleep: () => Promise.resolve() };
  retries = new DeadLetterRetries({
    shelf: {
      keptLetter: ({ offset }) => Promise.resolve(letters.get(offset) ?? null),
      lettersToRetry: (_selection, limit) => Promise.resolve([...letters.keys()].slice(0, limit).map(place)),
      noteAttempt: ({ offset }, reason, message) => {
        attempts.push([offset, reason, message]);
        return Promise.resolve(null);
      },
    },
    records: {
      decodeAgain: ({ offset }) => {
        const answer = answers.get(offset) as Redecoded | Error;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
    late: new LateChanges({ primarySide: 'old', pending, proofs, history, metrics: new CountingMetrics(), clock, hasher }),
    pending,
    proofs,
    checkpointer: { written: () => written() },
    clock,
    pendingMax: 3,
    signal: new AbortController().signal,
  });
});

describe('a change that is decoded late', () => {
  it('has its key looked at on both sides, and holds verified-through until then', async () => {
    die('7');
    says('7', row('7'));
    expect(await retries.retry(place('7'))).toMatchObject({ kind: 'retried', letter: { dischargedAtMs: 100, dischargedBy: 'retry' } });
    expect(check()).toEqual({ versions: [], suspected: true, holdsUs: 70n });
    expect(proofs.get(table)).toMatchObject({ deadLetters: 0, gaps: 0, gapUs: null, sweepOwedSinceUs: null, oldestDeadLetter: null });
    expect(retries.drainChanges().retried).toEqual([{ place: place('7'), atMs: 100 }]);
    expect(pending.drainChanges().checks).toMatchObject([{ holdsUs: 70n, origin: 'sweep' }]);
  });

  it('does not take the place of a newer one that is pending, nor hold more than the oldest', async () => {
    pending.addChange(pair, ['k'], { committedAtUs: 90n, lsn: 9n, hash: 1n, unknownColumns: [], position: row('9').position }, 1, 0);
    for (const offset of ['8', '7']) {
      die(offset);
      says(offset, row(offset));
      await retries.retry(place(offset));
    }
    expect(check()).toEqual({ versions: [9n], suspected: true, holdsUs: 70n });
  });

  it('is the newest where an older one is still pending: nothing newer can have been consumed', async () => {
    pending.addChange(pair, ['k'], { committedAtUs: 50n, lsn: 5n, hash: 1n, unknownColumns: [], position: row('5').position }, 1, 0);
    die('7');
    says('7', row('7'));
    await retries.retry(place('7'));
    expect(check()).toEqual({ versions: [5n, 7n], suspected: false, holdsUs: null });
    expect(history.last(table, keyId(['k']))).toBe(hashImage(hasher, row('7').image));
  });

  it('holds nothing where a sweep has accounted for it', async () => {
    die('7');
    proofs.sweepEnded(table, SWEEP);
    says('7', row('7'));
    await retries.retry(place('7'));
    expect(check()).toEqual({ versions: [], suspected: true, holdsUs: null });
    expect(proofs.get(table)).toMatchObject({ deadLetters: 0, gaps: 0 });
  });

  it('on the replica has its row looked at', async () => {
    die('7');
    says('7', row('7', { side: 'new' }));
    await retries.retry(place('7'));
    expect(check()).toEqual({ versions: [], suspected: true, holdsUs: null });
  });

  it('that is a truncate or of a repeated snapshot leaves a sweep owed; of the first snapshot, a heartbeat and the like, nothing', async () => {
    const truncate: TableTruncated = { type: 'truncate', pair, side: 'old', committedAtUs: 60n, position: row('6').position };
    const snapshot = row('6', { op: 'snapshot', snapshot: 'initial' });
    const none: SourceRecord = { type: 'none', reason: 'message', position: row('6').position };
    const owed: (bigint | null)[] = [];
    for (const [index, record] of [none, snapshot, { ...snapshot, snapshot: 'incremental' as const }, truncate, snapshot].entries()) {
      if (index === 4) proofs.sweepEnded(table, { ...SWEEP, startedAtUs: GAP_US * 2n });
      const offset = String(index + 10);
      die(offset, {}, GAP_US * BigInt(index + 1));
      says(offset, record);
      expect(await retries.retry(place(offset))).toMatchObject({ kind: 'retried' });
      owed.push(proofs.get(table).sweepOwedSinceUs);
    }
    expect(owed).toEqual([null, null, null, GAP_US * 4n, GAP_US * 5n]);
    expect(check()).toBeNull();
    expect(proofs.get(table).gaps).toBe(0);
  });
});

describe('a retry', () => {
  it('that cannot decode says why, counts it, and leaves the gap', async () => {
    die('7');
    says('7', { type: 'undecodable', pair, reason: 'bad_value', message: 'column n', position: row('7').position, rawKey: null, rawValue: null });
    expect(await retries.retry(place('7'))).toEqual({ kind: 'undecodable', reason: 'bad_value', message: 'column n' });
    die('8');
    answers.set('8', { kind: 'gone', message: 'no more' });
    expect(await retries.retry(place('8'))).toEqual({ kind: 'gone', message: 'no more' });
    expect(attempts).toEqual([['7', 'bad_value', 'column n'], ['8', 'not_json', 'was bad']]);
    expect(proofs.get(table)).toMatchObject({ deadLetters: 2, gaps: 2, oldestDeadLetter: place('7') });
    expect(retries.hasUnwritten).toBe(false);
  });

  it('answers as before when it went well already, and refuses what a sweep or an operator settled for good', async () => {
    die('6', { dischargedAtMs: 9, dischargedBy: 'retry' }, null);
    die('7', { dischargedAtMs: 9, dischargedBy: 'sweep' }, null);
    die('8', { dischargedAtMs: 9, dischargedBy: 'operator' }, null);
    expect(await retries.retry(place('6'))).toMatchObject({ kind: 'retried', letter: { dischargedAtMs: 9 } });
    expect(await retries.retry(place('7'))).toEqual({ kind: 'already_discharged' });
    expect(await retries.retry(place('8'))).toEqual({ kind: 'already_discharged' });
    expect(await retries.retry(place('9'))).toEqual({ kind: 'unknown' });
  });

  it('closes the gap that an operator left open', async () => {
    die('7', { dischargedAtMs: 9, dischargedBy: 'operator' });
    proofs.deadLetterDischarged(table, 5, place('7'));
    expect(proofs.owesSweep(table)).toBe(true);
    says('7', row('7'));
    expect(await retries.retry(place('7'))).toMatchObject({ kind: 'retried', letter: { dischargedAtMs: 9 } });
    expect(proofs.owesSweep(table)).toBe(false);
  });

  it('is done once at a time for one dead letter, and ends when it is written down', async () => {
    die('7');
    says('7', row('7'));
    let write: () => void = () => undefined;
    written = () => new Promise((resolve) => (write = resolve));
    const first = retries.retry(place('7'));
    await expect.poll(() => retries.hasUnwritten).toBe(true);
    expect(await retries.retry(place('7'))).toEqual({ kind: 'under_way' });
    expect(await retries.retrySeveral({}, 10)).toMatchObject({ retried: 0 });
    await expect(retries.meanwhile(place('7'), () => Promise.resolve())).rejects.toMatchObject({ code: 'retry_under_way', retry: 'retry' });
    const checkpoint = retries.drainChanges();
    write();
    expect(await first).toMatchObject({ kind: 'retried' });
    checkpoint.undo();
    expect(await retries.retry(place('7')), 'the store does not know yet').toEqual({ kind: 'under_way' });
    retries.drainChanges().done();
    expect(await retries.meanwhile(place('7'), () => Promise.resolve(1))).toBe(1);
  });

  it('is refused for now while as many checks are pending as there may be', async () => {
    for (const key of ['a', 'b', 'c']) pending.suspect(pair, [key], 'api', 1, null);
    die('7');
    says('7', row('7'));
    let nowMs = 0;
    const { clock } = (retries as unknown as { parts: { clock: { nowMs: () => number } } }).parts;
    clock.nowMs = () => (nowMs += 1_000);
    await expect(retries.retry(place('7'))).rejects.toMatchObject({ code: 'checks_full', retry: 'retry' });
    expect(proofs.get(table)).toMatchObject({ deadLetters: 1, gaps: 1 });
  });

  it('of several counts what came of each, and goes no further when Kafka is away', async () => {
    for (const offset of ['1', '2', '3', '4']) die(offset);
    says('1', row('1'));
    answers.set('2', { kind: 'gone', message: '' });
    answers.set('3', { kind: 'not_retryable', message: '' });
    answers.set('4', new LockstepError('kafka_unreachable', 'away', { retry: 'retry' }));
    expect(await retries.retrySeveral({}, 3)).toEqual({ retried: 1, undecodable: 0, gone: 1, notRetryable: 1, isCut: true });
    await expect(retries.retrySeveral({}, 4)).rejects.toMatchObject({ code: 'kafka_unreachable' });
    expect(proofs.get(table).gaps).toBeLessThan(4);
  });
});
