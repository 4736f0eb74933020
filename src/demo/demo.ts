import { setTimeout as sleep } from 'node:timers/promises';
import { type Stack, startStack } from '../../test/stack/stack.ts';
import { LockstepError } from '../domain/errors.ts';
import { compareDatabases } from './comparison.ts';
import { explainBySink, plantFaults } from './faults.ts';
import { type Judgement, type LedgerEntry, type ReportedDrift, judge, keyId } from './ledger.ts';
import { Load, type LoadFigures } from './load.ts';
import { type DemoPipeline, drain, kafkaPipeline, postgresPipeline } from './pipelines.ts';
import { DEMO_TABLES, FAULT_SQL, SCHEMA_SQL, SEED_SQL } from './schema.ts';
import { DemoService, type ServiceLag } from './service.ts';
import type { DemoView } from './view.ts';
import { Watcher } from './watcher.ts';

const DATABASE = 'app';
const POLL_MS = 100;
/** How long the first sweep, and with it the first verified-through, may take. */
const FIRST_VERIFIED_MS = 120_000;
/** How long Lockstep may take to find what was planted, beyond which it counts as not found. */
const FOUND_MS = 60_000;
/** How long a pipeline may take to catch up after the pause and after the load. */
const CAUGHT_UP_MS = 60_000;
const SWEEP_MS = 90_000;
/** Beyond what two clocks on one machine are known to differ by. */
const CLOCKS_DIFFER_MS = 500;
/** What is left of the grace period after Ctrl-C for the pipeline to drain. */
const HASTY_MS = 6_000;
/** How far verified-through may be seen to go beyond the moment the sink stood: what it had in hand then. */
const IN_HAND_MS = 1_000;

export interface DemoOptions {
  readonly source: 'kafka' | 'postgres';
  /** Transactions a second. */
  readonly rate: number;
  readonly lagBudgetMs: number;
  readonly settleMs: number;
  /** How long the sink is held up; beyond the lag budget and beyond settle. */
  readonly pauseMs: number;
  /** Runs to a finished report by itself; else until `signal` aborts. */
  readonly once: boolean;
  /** Leaves the folder with data and logs behind. */
  readonly keepFolder: boolean;
  readonly signal: AbortSignal;
  readonly view: DemoView;
}

/** What became of holding up the sink. */
export interface PauseOutcome {
  readonly description: string;
  readonly durationMs: number;
  readonly breaches: number;
  /** Pipeline findings seen meanwhile, with how soon. */
  readonly findings: readonly { readonly finding: string; readonly afterMs: number }[];
  /** How far verified-through went beyond the moment the sink stood; null when there was none to see. */
  readonly verifiedBeyondMs: number | null;
  readonly shown: boolean;
  readonly stoodStill: boolean;
}

export interface DemoResult {
  readonly source: 'kafka' | 'postgres';
  readonly pipeline: string;
  readonly load: LoadFigures;
  readonly judgement: Judgement;
  readonly pause: PauseOutcome | null;
  /** Open drift by table, column and cause, a sentence each. */
  readonly causes: readonly string[];
  readonly lag: readonly ServiceLag[];
  readonly verified: { readonly events: number; readonly checks: number; readonly sweptRows: number; readonly elapsedMs: number };
  readonly unverifiable: number;
  readonly deadLetters: number;
  /** What kept the judgement from being complete. */
  readonly remarks: readonly string[];
  readonly passed: boolean;
}

/**
 * Brings everything up, plants faults under load, lets Lockstep find them, and judges what it reported. Nothing of it
 * is left behind.
 * @throws LockstepError when something could not be brought up
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { view, signal } = options;
  const startedMs = Date.now();
  const progress = (line: string): void => view.say(`${((Date.now() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${line}`);
  let stack: Stack | null = null;
  let load: Load | null = null;
  try {
    stack = await startStack({ kafka: options.source === 'kafka', database: DATABASE, onProgress: progress, keepFolder: options.keepFolder, signal });
    if (options.keepFolder) progress(`data and logs stay in ${stack.folder}`);
    progress('making tables and rows');
    await stack.old.query(SCHEMA_SQL);
    await stack.new.query(`${SCHEMA_SQL}${FAULT_SQL}`);
    await stack.old.query(SEED_SQL);
    const pipeline = options.source === 'kafka' ? kafkaPipeline(stack, DATABASE) : postgresPipeline(stack, DATABASE);
    progress(`starting the pipeline: ${pipeline.description}`);
    await pipeline.start(signal);
    load = new Load(stack.old.url(DATABASE), options.rate);
    await load.start();
    progress(`load is on: ${options.rate} transactions a second`);
    const service = await DemoService.start(stack, pipeline, { database: DATABASE, lagBudgetMs: options.lagBudgetMs, settleMs: options.settleMs }, signal);
    progress(`Lockstep is up: ${service.url}/v1/summary  ${service.url}/metrics  ${service.url}/documentation`);
    const demo = new Demo(options, stack, pipeline, service, load, progress);
    return await demo.run();
  } catch (error) {
    if (signal.aborted) throw new LockstepError('interrupted', 'stopped before there was anything to report');
    throw error;
  } finally {
    view.close();
    await load?.stop();
    await stack?.stop();
  }
}

/** The part with everything up. */
class Demo {
  readonly #options: DemoOptions;
  readonly #stack: Stack;
  readonly #pipeline: DemoPipeline;
  readonly #service: DemoService;
  readonly #load: Load;
  readonly #progress: (line: string) => void;
  readonly #watcher: Watcher;
  readonly #startedMs = Date.now();
  readonly #remarks: string[] = [];
  readonly #told = new Set<string>();
  #planted: readonly LedgerEntry[] = [];
  #pausedSince: number | null = null;

  constructor(options: DemoOptions, stack: Stack, pipeline: DemoPipeline, service: DemoService, load: Load, progress: (line: string) => void) {
    this.#options = options;
    this.#stack = stack;
    this.#pipeline = pipeline;
    this.#service = service;
    this.#load = load;
    this.#progress = progress;
    this.#watcher = new Watcher(service, () => this.#show());
  }

  async run(): Promise<DemoResult> {
    const { signal, once } = this.#options;
    this.#watcher.start();
    let pause: PauseOutcome | null = null;
    try {
      try {
        await this.#firstVerified();
        await this.#plant();
        pause = await this.#pause();
        if (!once) {
          this.#progress('everything is shown; the load goes on until Ctrl-C, then comes the report');
          await this.#untilAborted();
        }
      } catch (error) {
        // Ctrl-C ends an open-ended demo with its report, however far it came; a finished report was asked for with --once.
        if (once || !signal.aborted) throw error;
      }
      return await this.#finish(pause, !once);
    } finally {
      await this.#watcher.stop();
    }
  }

  /** Waits until Lockstep vouches for something: snapshot and first sweep are done. */
  async #firstVerified(): Promise<void> {
    this.#progress('waiting for the first sweep and the first verified-through');
    const there = await this.#until(() => this.#watcher.summary?.verified_through != null, FIRST_VERIFIED_MS);
    if (!there) {
      const held = this.#watcher.summary?.tables.map((table) => `${table.table}: ${table.held_by ?? 'no reason'}`).join('; ');
      throw new LockstepError('demo_failed', `there is no verified-through after ${FIRST_VERIFIED_MS / 1000} s (${held ?? 'no summary'}); the service's log ends with:\n${this.#service.logEnd()}`);
    }
    this.#progress('the first verified-through is there');
  }

  async #plant(): Promise<void> {
    const { signal, settleMs } = this.#options;
    // What is written sooner may, for all that Lockstep knows, have been under way when it started.
    await sleep(Math.max(0, this.#startedMs + settleMs + CLOCKS_DIFFER_MS - Date.now()), undefined, { signal });
    this.#progress('planting faults on new');
    this.#planted = await plantFaults(this.#stack.old, this.#stack.new, signal);
    // Two of them no event will ever mention.
    await this.#service.sweep(signal);
    const ids = this.#planted.map((entry) => keyId(entry.table, entry.key));
    const all = await this.#until(() => {
      const open = new Set(this.#watcher.drift.filter((drift) => drift.status === 'open').map((drift) => keyId(drift.table, drift.key)));
      return ids.every((id) => open.has(id));
    }, FOUND_MS);
    if (!all) this.#remarks.push(`not everything planted was found within ${FOUND_MS / 1000} s`);
  }

  /** Holds the sink up for longer than the lag budget and settle allow: lateness, not drift. */
  async #pause(): Promise<PauseOutcome> {
    const { pauseMs, signal } = this.#options;
    const breachesBefore = await this.#service.counter('lockstep_lag_budget_breaches_total');
    this.#progress(`holding up the sink for ${(pauseMs / 1000).toFixed(0)} s: ${this.#pipeline.pauseDescription}`);
    await this.#pipeline.pauseSink();
    const pausedMs = Date.now();
    this.#pausedSince = pausedMs;
    try {
      await sleep(pauseMs, undefined, { signal });
    } finally {
      await this.#pipeline.resumeSink();
      this.#pausedSince = null;
    }
    const resumedMs = Date.now();
    this.#progress('the sink goes on');
    const caughtUp = await this.#until(() => (Date.parse(this.#watcher.summary?.verified_through ?? '') || 0) > resumedMs, CAUGHT_UP_MS);
    if (!caughtUp) this.#remarks.push(`verified-through did not pass the end of the pause within ${CAUGHT_UP_MS / 1000} s`);
    const findings = this.#watcher
      .findings(pausedMs, resumedMs)
      .filter((seen) => seen.firstSeenMs >= pausedMs)
      .map((seen) => ({ finding: seen.finding, afterMs: seen.firstSeenMs - pausedMs }));
    const breaches = (await this.#service.counter('lockstep_lag_budget_breaches_total')) - breachesBefore;
    const furthest = this.#watcher.furthestVerified(pausedMs, resumedMs);
    const verifiedBeyondMs = furthest === null ? null : Math.max(0, furthest - pausedMs);
    return {
      description: this.#pipeline.pauseDescription,
      durationMs: resumedMs - pausedMs,
      breaches,
      findings,
      verifiedBeyondMs,
      shown: findings.length > 0 || breaches > 0,
      stoodStill: verifiedBeyondMs === null || verifiedBeyondMs <= IN_HAND_MS,
    };
  }

  /** Ends the load, lets everything come to rest, compares both databases and judges. */
  async #finish(pause: PauseOutcome | null, hasty: boolean): Promise<DemoResult> {
    const signal = hasty ? AbortSignal.timeout(CAUGHT_UP_MS) : this.#options.signal;
    this.#progress('ending the load');
    await this.#load.stop();
    if (!(await drain(this.#stack, 1, hasty ? HASTY_MS : CAUGHT_UP_MS))) this.#remarks.push('the pipeline had not carried everything to new: the judgement is not final');
    if (!hasty) {
      this.#progress('the last sweep');
      if (!(await this.#service.sweepEnds(await this.#service.sweep(signal), SWEEP_MS, signal))) this.#remarks.push(`the last sweep did not end within ${SWEEP_MS / 1000} s`);
    }
    const settled = await this.#until(() => this.#watcher.summary?.tables.every((table) => table.pending === 0) ?? false, hasty ? HASTY_MS : CAUGHT_UP_MS, signal);
    if (!settled) {
      const pending = this.#watcher.summary?.tables.filter((table) => table.pending > 0).map((table) => `${table.table} ${table.pending}`);
      this.#remarks.push(`checks are still pending: ${pending?.join(', ') ?? 'no summary'}`);
    }
    this.#progress('comparing both databases');
    const truth = await compareDatabases(this.#stack.old.url(DATABASE), this.#stack.new.url(DATABASE), DEMO_TABLES);
    const [drift, causes, lag, summary] = await Promise.all([this.#service.drift(), this.#service.causes(), this.#service.lag(), this.#service.summary()]);
    const judgement = judge(this.#planted, truth, explainBySink(this.#load.receiptsTouched), drift);
    const events = (await this.#service.counter('lockstep_change_events_total')) - (await this.#service.counter('lockstep_change_events_total', { op: 'snapshot' }));
    const verified = {
      events,
      checks: await this.#service.counter('lockstep_checks_total', { verdict: 'match' }),
      sweptRows: await this.#service.counter('lockstep_sweep_rows_total', { side: 'old' }),
      elapsedMs: Date.now() - this.#startedMs,
    };
    const faultless = judgement.findings.every((finding) => finding.fault === null) && judgement.falseReports.length === 0;
    return {
      source: this.#options.source,
      pipeline: this.#pipeline.description,
      load: this.#load.figures,
      judgement,
      pause,
      causes,
      lag,
      verified,
      unverifiable: summary.tables.reduce((sum, table) => sum + table.unverifiable, 0),
      deadLetters: summary.tables.reduce((sum, table) => sum + table.dead_letters, 0),
      remarks: this.#remarks,
      passed: faultless && this.#remarks.length === 0 && (pause === null ? !this.#options.once : pause.shown && pause.stoodStill),
    };
  }

  /** Polls `done`; false when that takes longer than `limitMs`. Fails at once when the service has ended. */
  async #until(done: () => boolean, limitMs: number, signal: AbortSignal = this.#options.signal): Promise<boolean> {
    const end = Date.now() + limitMs;
    while (!done()) {
      signal.throwIfAborted();
      if (!this.#service.running) throw new LockstepError('demo_failed', `the service ended; its log ends with:\n${this.#service.logEnd()}`);
      if (Date.now() > end) return false;
      await sleep(POLL_MS);
    }
    return true;
  }

  async #untilAborted(): Promise<void> {
    while (!this.#options.signal.aborted) {
      if (!this.#service.running) throw new LockstepError('demo_failed', `the service ended; its log ends with:\n${this.#service.logEnd()}`);
      await sleep(POLL_MS);
    }
  }

  #show(): void {
    const { summary, drift, failure } = this.#watcher;
    this.#announce(drift);
    this.#options.view.draw({
      url: this.#service.url,
      source: this.#pipeline.description,
      elapsedMs: Date.now() - this.#startedMs,
      load: this.#load.figures,
      summary,
      failure,
      pausedForMs: this.#pausedSince === null ? null : Date.now() - this.#pausedSince,
      planted: this.#planted.map((entry) => ({ entry, drift: findDrift(entry, drift) })),
      otherDrift: drift.filter((one) => one.status === 'open' && !this.#planted.some((entry) => keyId(entry.table, entry.key) === keyId(one.table, one.key))).length,
    });
  }

  /** One line for every planted fault when it is found. */
  #announce(drift: readonly ReportedDrift[]): void {
    for (const entry of this.#planted) {
      const found = findDrift(entry, drift);
      if (found === null || this.#told.has(found.id)) continue;
      this.#told.add(found.id);
      const after = entry.atMs === null ? '' : ` after ${((found.confirmedAtMs - entry.atMs) / 1000).toFixed(1)} s`;
      this.#progress(`found: ${entry.what} in ${entry.table}: ${found.kind}${after}`);
    }
  }
}

function findDrift(entry: LedgerEntry, drift: readonly ReportedDrift[]): ReportedDrift | null {
  const id = keyId(entry.table, entry.key);
  return drift.find((one) => keyId(one.table, one.key) === id) ?? null;
}
