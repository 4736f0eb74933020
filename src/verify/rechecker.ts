import { copiesOf, isBag } from '../domain/bag.ts';
import type { RowEvidence } from '../domain/causes/explain.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { LagWindow } from '../domain/lag-window.ts';
import { hashImage, judgeConfirm, judgeRead, type ConfirmReads, type Hasher, type Version } from '../domain/recheck.ts';
import { afterRead } from '../domain/recheck-step.ts';
import type { RowKey } from '../domain/row.ts';
import type { ReplicaEvent } from '../domain/replica-event.ts';
import type { PipelineEvidence, Watermarks } from '../domain/watermarks.ts';
import { AppliedChanges } from './applied-changes.ts';
import type { DriftBook } from './drift-book.ts';
import { DriftRechecks, kindFor } from './drift-rechecks.ts';
import { BAG_STANDING_LOOKS, stillHeld, UNVERIFIABLE_ROUNDS, type Check, type CheckEnd, type PendingChecks } from './pending-checks.ts';
import type { Clock, Database, PartitionsOf, RowsRead, VerifyMetrics } from './ports.ts';
import type { FirstLook } from './first-look.ts';
import type { Health } from './health.ts';
import type { Proofs } from './proofs.ts';
import type { ReplicaEvents } from './replica-events.ts';
import { RowReads, type ThreeReads } from './row-reads.ts';
import type { VersionHistory } from './version-history.ts';

/** First and longest wait between two looks at a key that is still in flight. */
const RETRY_FIRST_MS = 25;
const RETRY_MAX_MS = 1_000;
/** Between two looks at rows of a bag the databases rest for so many times as long as the last one took; where its drift is open for good, longer. */
const BAG_REST = 0.5;
/**
 * Numbers of copies must stand still at all looks within `settle`, of which there are so many where the table is read
 * quickly, and at so many where it is not: a row that is taken away and put back shows one number or the other, and where
 * each look finds primary and replica apart with a chance of one in five, ten in a row do so once in ten million.
 */
const BAG_LOOKS_A_SETTLE = 10;
/** Its multiples' fractions are spread as evenly as can be: waits are between half and one and a half times their length. */
const GOLDEN_RATIO = 0.618_033_988_749_895;
const UNEVEN_MIN = 0.5;
/** Wait after a database could not be read. */
const UNREADABLE_WAIT_MS = 1_000;
/** The loop looks at its queue at least this often. */
const IDLE_WAIT_MS = 50;
/** A first read this long after the commit cannot bound the lag from above with any use. */
const LAG_BOUND_USEFUL_MS = 1_000;

export interface RecheckerParts {
  readonly pending: PendingChecks;
  readonly firstLook: FirstLook;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly history: VersionHistory;
  readonly replicaEvents: ReplicaEvents;
  readonly watermarks: Watermarks;
  /** null: nothing is known of a pipeline. */
  readonly partitions: PartitionsOf | null;
  /** Whether the change stream is consumed here. */
  readonly consumes: boolean;
  readonly primary: Database;
  readonly replica: Database;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly lag: ReadonlyMap<string, LagWindow>;
  readonly health: Health;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly settleMs: number;
  readonly lagBudgetMs: number;
  readonly batchKeys: number;
  readonly concurrency: number;
  /** Resolves when there is room for more drift; absent: there always is. */
  readonly drained?: () => Promise<void>;
}

/** Reads pending keys on the replica, and on both sides where it matters, until each is settled. */
export class Rechecker {
  private readonly parts: RecheckerParts;
  private readonly reads: RowReads;
  private readonly applied: AppliedChanges;
  private readonly driftRechecks: DriftRechecks;
  private wakeUp: (() => void) | null = null;
  /** The loop sleeps until then and could take more; null while it could not. */
  private sleepsUntilMs: number | null = null;

  constructor(parts: RecheckerParts) {
    this.parts = parts;
    this.reads = new RowReads(parts);
    this.applied = new AppliedChanges(parts);
    this.driftRechecks = new DriftRechecks({ ...parts, reads: this.reads, primaryIsOld: parts.primary.side === 'old' });
    parts.replicaEvents.settlesBy({
      sawShown: (check, version, committedAtUs) => this.sawApplied(check, version, committedAtUs),
      settled: (check, isPresent) => this.settleMatch(check, { primaryRow: isPresent ? [] : null, replicaRow: isPresent ? [] : null }),
    });
    parts.pending.onWake((dueMs) => {
      if (this.sleepsUntilMs !== null && dueMs < this.sleepsUntilMs) this.wakeUp?.();
    });
  }

  /** Commit time of the newest change of a table that was seen on the replica, µs; null before the first. */
  newestAppliedUs(table: string): bigint | null {
    return this.applied.newestUs(table);
  }

  /** Works off the queue until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.runChecks(signal), this.driftRechecks.run(signal, false), this.driftRechecks.run(signal, true)]);
  }

  private async runChecks(signal: AbortSignal): Promise<void> {
    const { pending, clock, concurrency } = this.parts;
    const running = new Set<Promise<void>>();
    // A bag is read as a whole, which may take long: one at a time, beside the others.
    const bags = new Set<Promise<void>>();
    const isWanted = (pair: Pair): boolean => (isBag(pair) ? bags.size === 0 : running.size < concurrency);
    while (!signal.aborted) {
      const nowMs = clock.nowMs();
      const pair = pending.dueTable(nowMs, isWanted);
      if (pair !== null) {
        const within = isBag(pair) ? bags : running;
        const checks = pending.take(pair.id, nowMs, this.reads.keysPerRead(pair));
        if (checks.length > 0) {
          const round = this.round(pair, checks, signal).finally(() => {
            within.delete(round);
            this.wakeUp?.();
          });
          within.add(round);
        }
        continue;
      }
      const next = pending.nextDueMs(isWanted);
      const wait = next === null ? IDLE_WAIT_MS : Math.min(IDLE_WAIT_MS, Math.max(1, next - nowMs));
      this.sleepsUntilMs = running.size >= concurrency ? null : nowMs + wait;
      await this.waitFor(wait, signal);
    }
    await Promise.all([...running, ...bags]);
  }

  private async waitFor(waitMs: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.wakeUp = () => woken.abort();
    await this.parts.clock.sleep(waitMs, AbortSignal.any([signal, woken.signal]));
    this.wakeUp = null;
  }

  /** One look at a batch of keys of one table. */
  private async round(pair: Pair, checks: readonly Check[], signal: AbortSignal): Promise<void> {
    const { pending, clock, health } = this.parts;
    const startedAtMs = clock.nowMs();
    try {
      const left = checks.filter((check) => !this.parts.replicaEvents.settle(check));
      if (left.length > 0) await this.judge(pair, left, signal);
      await this.parts.drained?.();
    } catch (error) {
      if (!signal.aborted) health.failed(error);
      for (const check of checks) check.attempts++;
      await clock.sleep(UNREADABLE_WAIT_MS, signal);
    } finally {
      const nowMs = clock.nowMs();
      const tookMs = nowMs - startedAtMs;
      for (const check of checks) {
        check.busy = false;
        if (pending.get(pair.id, check.id) === check) pending.schedule(check, nowMs + (isBag(pair) ? this.bagRetryMs(check, tookMs) : this.retryMs(check)));
      }
    }
  }

  /** Reads and judges a batch; a row that no retry makes readable is parted from the others, which must not wait for it. */
  private async judge(pair: Pair, checks: readonly Check[], signal: AbortSignal): Promise<void> {
    try {
      const evidence = this.applied.evidence(pair);
      // Without a change to look for, one look at the replica tells nothing.
      const changed = checks.filter((check) => check.versions.length > 0);
      const toConfirm = checks.filter((check) => check.versions.length === 0 && !this.waitsForStream(check, evidence));
      if (changed.length > 0) {
        const keys = changed.map((check) => check.key);
        const sentUs = this.parts.clock.nowUs();
        const read = await this.reads.onReplica(pair, keys, signal);
        const isGiven = this.applied.given(pair, evidence, sentUs);
        const passed = this.parts.pending.gapsPassed(pair.id, isGiven);
        for (const check of changed) {
          if (this.judgeReplica(check, read, evidence, sentUs, passed && stillHeld(check, isGiven).length === 0)) toConfirm.push(check);
        }
      }
      if (toConfirm.length > 0) await this.confirm(pair, toConfirm, signal);
    } catch (error) {
      const unreadable = error instanceof LockstepError && error.code === 'bad_value';
      if (!unreadable || checks.length === 1) throw error;
      const half = Math.ceil(checks.length / 2);
      for (const part of [checks.slice(0, half), checks.slice(half)]) await this.judge(pair, part, signal);
    }
  }

  /** A write on the replica is not looked into before its change had time to be consumed. */
  private waitsForStream(check: Check, evidence: PipelineEvidence): boolean {
    const waits = this.parts.replicaEvents.isEarly(check, evidence);
    if (waits) check.attempts++;
    return waits;
  }

  private retryMs(check: Check): number {
    const eventMs = check.versions.length === 0 ? 0 : (this.parts.replicaEvents.waitMs(check.pair) ?? 0);
    return Math.min(RETRY_MAX_MS, Math.max(eventMs, RETRY_FIRST_MS * 2 ** Math.min(check.attempts, 10)));
  }

  /** Uneven waits, so that whoever takes a row away and puts it back at regular times is not always met at the same point. */
  private bagRetryMs(check: Check, tookMs: number): number {
    const uneven = UNEVEN_MIN + ((check.attempts * GOLDEN_RATIO) % 1);
    return Math.ceil(Math.max(BAG_REST * tookMs, RETRY_FIRST_MS, Math.min(RETRY_MAX_MS, this.parts.settleMs / BAG_LOOKS_A_SETTLE)) * uneven);
  }

  /**
   * Judges one read of the replica, of a key with unsettled changes; true asks for the confirm step.
   * @param gapsPassed whether it has been given all that was not decoded, and all of the key that did not tell when it was made
   */
  private judgeReplica(check: Check, read: RowsRead, evidence: PipelineEvidence, sentUs: bigint, gapsPassed: boolean): boolean {
    const { hasher, pending, metrics, firstLook, book } = this.parts;
    const found = read.rows.get(check.id);
    const row = found?.row ?? null;
    const replicaHash = hashImage(hasher, row);
    const base = pending.baseOf(check, gapsPassed);
    const verdict = judgeRead(hasher, check.versions, base, row, replicaHash, (version) => this.applied.newestApplied(check, version, evidence, sentUs), gapsPassed);
    if (check.attempts === 0 && check.lastMissUs === null) firstLook.looked(check.pair.id, verdict.kind !== 'differs');
    check.isLikelyApplied = verdict.kind === 'returned' && !gapsPassed;
    // When it becomes certain says nothing about lag.
    if (check.isLikelyApplied) check.lastMissUs = null;
    switch (verdict.kind) {
      case 'match':
        this.sawApplied(check, verdict.version, found?.committedAtUs ?? null);
        this.clearSuspicion(check, verdict.version);
        // Both may carry what the encoding lost: a row that is known to differ agrees only where both sides are read.
        if (afterRead('match', { doubted: check.suspected || book.get(check.pair.id, check.id) !== undefined, applied: true }) === 'confirm_without_changes') {
          pending.setVersions(check, []);
          check.base = verdict.version.hash;
          return true;
        }
        this.parts.replicaEvents.foundByRead(check.pair);
        this.settleMatch(check, { primaryRow: row, replicaRow: row });
        return false;
      case 'match_partly':
        this.sawApplied(check, verdict.version, found?.committedAtUs ?? null);
        this.passedAll(check);
        return true;
      case 'older':
        this.sawApplied(check, verdict.version, found?.committedAtUs ?? null);
        this.clearSuspicion(check, verdict.version);
        pending.setVersions(check, verdict.remaining);
        check.base = verdict.version.hash;
        check.attempts = 0;
        check.lastMissUs = sentUs;
        metrics.check(check.pair.id, 'inconclusive');
        return false;
      case 'returned':
        // What it shows now is what it had before whatever it shows next.
        if (check.base === undefined && gapsPassed) check.base = replicaHash;
        check.attempts++;
        metrics.check(check.pair.id, 'inconclusive');
        return false;
      case 'differs':
        if (check.base === undefined && gapsPassed) check.base = replicaHash;
        check.lastMissUs = sentUs;
        if (afterRead('differs', { doubted: check.suspected, applied: this.applied.newestApplied(check, check.versions.at(-1) as Version, evidence, sentUs) }) === 'confirm') {
          this.passedAll(check);
          return true;
        }
        check.attempts++;
        metrics.check(check.pair.id, 'inconclusive');
        return false;
    }
  }

  /** The replica is past all of a key's changes: those between would only keep the stream from bringing what the primary shows. */
  private passedAll(check: Check): void {
    if (check.versions.length > 2) this.parts.pending.setVersions(check, [check.versions[0] as Version, check.versions.at(-1) as Version]);
  }

  /**
   * A replica that shows a change made after a sweep saw a difference was equal then: without this, a key
   * that changes faster than it can be confirmed would keep the sweep from ending.
   */
  private clearSuspicion(check: Check, shown: Version): void {
    if (!check.suspected) return;
    const { skew, primary, pending } = this.parts;
    const sinceUs = BigInt(Math.ceil(check.suspectedAtMs)) * 1000n + (skew[primary.side].best()?.boundUs ?? 0n);
    if (this.applied.hostUs(shown.committedAtUs) > sinceUs) pending.clearSuspicion(check, shown.hash !== null);
  }

  /** The confirm step: primary, replica, primary again. */
  private async confirm(pair: Pair, checks: readonly Check[], signal: AbortSignal): Promise<void> {
    const { pending, metrics, clock, book, hasher, replicaEvents } = this.parts;
    const evidence = this.applied.evidence(pair);
    const known = new Map(checks.map((check) => [check, check.versions]));
    const keys = checks.map((check) => check.key);
    const reads = await this.reads.thrice(pair, keys, signal);
    const nowMs = clock.nowMs();
    const { replicaAskedAtUs } = reads;
    const isGiven = this.applied.given(pair, evidence, replicaAskedAtUs);
    const passed = pending.gapsPassed(pair.id, isGiven);
    for (const check of checks) {
      const versions = known.get(check) as readonly Version[];
      const changed = check.versions !== versions;
      const read = reads.of(check.id);
      const newest = versions.at(-1);
      const facts = this.applied.confirmFacts(check, versions, evidence, replicaAskedAtUs);
      if (isBag(pair)) stand(check, read);
      const verdict = judgeConfirm(hasher, versions, check.suspicion, read, facts);
      switch (verdict.kind) {
        case 'match': {
          // Late news of a change: the replica may only look as it did before that change, and have it yet to come.
          if (check.holdsUs !== null && !passed) {
            check.attempts++;
            metrics.check(pair.id, 'inconclusive');
            break;
          }
          if (check.suspectedWhileBusy) break;
          const held = showsHeld(check, versions, read) ? [] : stillHeld(check, isGiven);
          if (held.length > 0) {
            pending.keepHeld(check, held, read.primaryRow !== null);
            check.attempts++;
            metrics.check(pair.id, 'inconclusive');
            break;
          }
          if (changed) {
            check.suspected = false;
            check.holdsUs = null;
            check.held = [];
            pending.setVersions(
              check,
              check.versions.filter((version) => !versions.includes(version)),
            );
            if (check.versions.length > 0) break;
          }
          this.settleMatch(check, read);
          break;
        }
        case 'hot':
          this.isHot(check, read);
          break;
        case 'inconclusive':
          check.suspicion = changed ? null : verdict.suspicion;
          check.attempts++;
          metrics.check(pair.id, 'inconclusive');
          if (isBag(pair)) this.endRestless(check, read);
          break;
        case 'drift': {
          if (changed) break;
          const isBookable = !book.isFull || book.get(pair.id, check.id) !== undefined;
          if (!this.isProven(check, versions, read, evidence) || !this.hasStood(check) || !isBookable) {
            check.attempts++;
            metrics.check(pair.id, 'inconclusive');
            break;
          }
          metrics.check(pair.id, 'mismatch');
          const written = replicaEvents.writeOf(check, versions, read.replica);
          book.confirm(
            // Named one by one: spreading costs kilobytes a row.
            {
              primaryIsOld: this.parts.primary.side === 'old',
              primaryRow: read.primaryRow,
              replicaRow: read.replicaRow,
              primaryHash: read.primaryBefore,
              replicaHash: read.replica,
              pair,
              key: check.key,
              kind: kindFor(pair, verdict.driftKind, read),
              evidence: written !== null && newest === undefined ? 'written_on_replica' : this.rowEvidence(check, versions, read),
              foundBy: newest !== undefined || check.origin === 'stream' ? 'stream' : check.origin,
              firstSeenMs: check.firstSeenMs,
              position: written?.position ?? newest?.position ?? null,
              committedAtMs: this.beganAtMs(newest, written),
            },
            nowMs,
          );
          pending.settle(check, { kind: 'drift', onPrimary: read.primaryRow !== null, onReplica: read.replicaRow !== null, ...copies(pair, read) });
          break;
        }
      }
    }
  }

  /**
   * Whether a difference cannot come from changes that the pipeline has applied and that are not yet
   * consumed here: a row that went from R to S and back to R looks on the primary as if nothing had
   * happened. It is seen twice, and in between the stream has been consumed through the first time and
   * brought nothing for the key. Where the stream does not say how far it reaches, `settle` has passed,
   * and twice that where it is known to hold more: a queue full of drift must not wait for itself.
   */
  private isProven(check: Check, versions: readonly Version[], read: ConfirmReads, evidence: PipelineEvidence): boolean {
    const { consumes, clock, settleMs } = this.parts;
    if (!consumes) return true;
    const seen = check.seenDrift;
    if (seen === null || seen.versions !== versions || seen.primaryHash !== read.primaryBefore || seen.replicaHash !== read.replica) {
      check.seenDrift = { versions, primaryHash: read.primaryBefore, replicaHash: read.replica, seenAtUs: read.rereadAtUs };
      return false;
    }
    if (evidence.consumedThroughUs !== null && evidence.consumedThroughUs > seen.seenAtUs) return true;
    return clock.nowUs() - this.applied.hostUs(seen.seenAtUs) >= BigInt(settleMs) * (evidence.behind ? 2_000n : 1_000n);
  }

  /** Looks at keys now, outside the queue: what a caller of the API is told. */
  async look(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<(id: string) => ConfirmReads> {
    return (await this.reads.thrice(pair, keys, signal)).of;
  }

  /** Commit of what a drift began with, on our clock. */
  private beganAtMs(newest: Version | undefined, written: ReplicaEvent | null): number | null {
    if (written !== null) return this.parts.replicaEvents.committedAtMs(written);
    return newest === undefined ? null : Number(this.applied.hostUs(newest.committedAtUs) / 1000n);
  }

  private settleMatch(check: Check, read: Pick<ConfirmReads, 'primaryRow' | 'replicaRow'>): void {
    this.parts.metrics.check(check.pair.id, 'match');
    this.parts.pending.settle(check, { kind: 'match', present: read.primaryRow !== null, ...copies(check.pair, read) });
    this.driftRechecks.resolve(check.pair, check.id, this.parts.clock.nowMs());
  }

  private isHot(check: Check, read: ConfirmReads): void {
    check.hotRounds++;
    check.attempts++;
    this.parts.metrics.check(check.pair.id, check.hotRounds === UNVERIFIABLE_ROUNDS ? 'unverifiable' : 'hot');
    if (isBag(check.pair)) this.endRestless(check, read);
  }

  /** No event tells of a bag's row, so its check ends only by itself: given up where the copies never rest. */
  private endRestless(check: Check, read: ConfirmReads): void {
    if (check.hotRounds < UNVERIFIABLE_ROUNDS) return;
    this.parts.pending.settle(check, { kind: 'unsettled', onPrimary: read.primaryRow !== null, onReplica: read.replicaRow !== null, ...copies(check.pair, read) });
  }

  /** Whether a bag's row was found with the same numbers of copies often enough. */
  private hasStood({ pair, standing }: Check): boolean {
    const settlesAtOnce = this.parts.partitions === null && this.parts.settleMs === 0;
    return !isBag(pair) || settlesAtOnce || (standing?.looks ?? 0) >= BAG_STANDING_LOOKS;
  }

  /** What the changes of a row tell about why it drifted. */
  private rowEvidence(check: Check, versions: readonly Version[], read: ThreeReads): RowEvidence {
    const { history, consumes } = this.parts;
    const { id, pair } = check;
    const [first] = versions;
    if (first !== undefined) {
      if (versions.at(-1)?.hash === null) return 'deleted';
      return check.base === null && history.isInsert(pair.id, id, first.hash) ? 'inserted' : 'unknown';
    }
    if (read.replica === null || !consumes) return 'unknown';
    if (history.last(pair.id, id) === null) return history.has(pair.id, id, read.replica) ? 'deleted' : 'unknown';
    return history.neverChanged(pair.id, id) && this.writtenSinceStart(read.replicaCommittedAtUs) ? 'written_beside' : 'unknown';
  }

  /** Whether the replica's row was written later than whatever was under way when this process began to see changes. */
  private writtenSinceStart(replicaUs: bigint | null): boolean {
    const { skew, replica, settleMs } = this.parts;
    const known = skew[replica.side].best();
    if (replicaUs === null || known === null) return false;
    return replicaUs - known.offsetUs - known.boundUs > this.applied.sinceUs + BigInt(settleMs) * 1000n;
  }

  /** A change was seen on the replica: its lag is known, exactly or between two reads. */
  private sawApplied(check: Check, version: Version, replicaUs: bigint | null): void {
    const { clock, skew, replica, metrics, lag, lagBudgetMs } = this.parts;
    const table = check.pair.id;
    this.applied.saw(table, version.committedAtUs);
    const committedUs = this.applied.hostUs(version.committedAtUs);
    const nowUs = clock.nowUs();
    const replicaOffset = skew[replica.side].best()?.offsetUs ?? 0n;
    // Native logical replication hands the primary's commit time on as the replica's: that says nothing about lag.
    const exactUs = replicaUs !== null && replicaUs !== version.committedAtUs ? replicaUs - replicaOffset : null;
    const boundMs = Number(nowUs - committedUs) / 1000;
    if (exactUs === null && check.lastMissUs === null && boundMs > LAG_BOUND_USEFUL_MS) return;
    const lagMs = Math.max(0, exactUs === null ? boundMs : Number(exactUs - committedUs) / 1000);
    lag.get(table)?.add(clock.nowMs(), lagMs, exactUs !== null);
    metrics.replicationLag(table, lagMs / 1000);
    if (lagMs > lagBudgetMs) metrics.lagBudgetBreach(table);
  }

}

/** Notes what a look at a bag's row found; where it is not what the look before found, what is suspected begins anew. */
function stand(check: Check, { primaryBefore, replica, primaryAfter }: ConfirmReads): void {
  const { standing } = check;
  const stood = standing !== null && primaryBefore === primaryAfter && standing.primaryHash === primaryBefore && standing.replicaHash === replica;
  if (!stood && standing !== null) {
    check.suspicion = null;
    check.seenDrift = null;
    if (primaryBefore === primaryAfter) check.hotRounds++;
  }
  check.standing = { primaryHash: primaryAfter, replicaHash: replica, looks: stood ? standing.looks + 1 : 1 };
}

function copies(pair: Pair, { primaryRow, replicaRow }: Pick<ConfirmReads, 'primaryRow' | 'replicaRow'>): Pick<CheckEnd, 'copies'> {
  return isBag(pair) ? { copies: [copiesOf(primaryRow), copiesOf(replicaRow)] } : {};
}

/** Whether the only change of the key that is unsettled is seen: nothing else can have made what the replica shows. */
function showsHeld({ held, versions: newer }: Check, versions: readonly Version[], read: ConfirmReads): boolean {
  return held.length === 1 && versions.length === 0 && newer.length === 0 && held[0]?.shows === read.replica;
}
