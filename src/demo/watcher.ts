import { setTimeout as sleep } from 'node:timers/promises';
import { rootMessage } from '../domain/errors.ts';
import type { ReportedDrift } from './ledger.ts';
import type { DemoService, ServiceSummary } from './service.ts';

const POLL_MS = 400;

/** One pipeline finding, from when it was first seen until it was last seen. */
export interface SeenFinding {
  readonly finding: string;
  readonly message: string;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
}

/** One look at verified-through. */
interface VerifiedSample {
  readonly atMs: number;
  readonly verifiedThroughMs: number | null;
}

/** Asks the service again and again, as a dashboard would, and remembers what it said. */
export class Watcher {
  summary: ServiceSummary | null = null;
  drift: readonly ReportedDrift[] = [];
  readonly #service: DemoService;
  readonly #onChange: () => void;
  readonly #seen: SeenFinding[] = [];
  readonly #verified: VerifiedSample[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  #failure: string | null = null;

  constructor(service: DemoService, onChange: () => void) {
    this.#service = service;
    this.#onChange = onChange;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Why the last look failed; null when it did not. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Findings that were seen between two moments. */
  findings(fromMs: number, toMs: number): readonly SeenFinding[] {
    return this.#seen.filter((seen) => seen.lastSeenMs >= fromMs && seen.firstSeenMs <= toMs);
  }

  /** The furthest that verified-through was seen between two moments; null when there was none. */
  furthestVerified(fromMs: number, toMs: number): number | null {
    const seen = this.#verified.filter((sample) => sample.atMs >= fromMs && sample.atMs <= toMs && sample.verifiedThroughMs !== null);
    return seen.reduce<number | null>((furthest, sample) => Math.max(furthest ?? 0, sample.verifiedThroughMs ?? 0), null);
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const [summary, drift] = await Promise.all([this.#service.summary(), this.#service.drift()]);
        this.summary = summary;
        this.drift = drift;
        this.#remember(summary, Date.now());
        this.#failure = null;
      } catch (error) {
        this.#failure = rootMessage(error);
      }
      this.#onChange();
      await sleep(POLL_MS);
    }
  }

  #remember(summary: ServiceSummary, atMs: number): void {
    this.#verified.push({ atMs, verifiedThroughMs: summary.verified_through === null ? null : Date.parse(summary.verified_through) });
    for (const { finding, message } of summary.pipeline) {
      const index = this.#seen.findIndex((seen) => seen.finding === finding && atMs - seen.lastSeenMs < 5 * POLL_MS);
      const earlier = this.#seen[index];
      if (earlier === undefined) this.#seen.push({ finding, message, firstSeenMs: atMs, lastSeenMs: atMs });
      else this.#seen[index] = { ...earlier, lastSeenMs: atMs };
    }
  }
}
