import type { Clock } from '../../src/verify/ports.ts';
import type { VirtualClock } from '../unit/verify/memory/virtual-clock.ts';

/**
 * One life of Lockstep, from its start to its death. Each question to a database or to the state store and each sleep is a
 * step of it, and it may die before and after each. Whoever waits in a life that is over waits for ever, as after `kill -9`.
 */
export class Life {
  readonly clock: Clock;
  steps = 0;
  over = false;
  private readonly diesAt: number;
  private readonly onDeath: () => void;

  constructor(clock: VirtualClock, diesAt: number, onDeath: () => void) {
    this.diesAt = diesAt;
    this.onDeath = onDeath;
    this.clock = {
      nowMs: () => clock.nowMs(),
      nowUs: () => clock.nowUs(),
      sleep: (ms, signal) => this.step(() => clock.sleep(ms, signal)),
    };
  }

  /** The same object, its methods being steps of this life. */
  of<Part extends object>(part: Part): Part {
    const steps = new Map<string | symbol, unknown>();
    return new Proxy(part, {
      get: (target, name): unknown => {
        const known = steps.get(name);
        if (known !== undefined) return known;
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const step = (...given: unknown[]): Promise<unknown> => this.step(() => Reflect.apply(value, target, given) as Promise<unknown>);
        steps.set(name, step);
        return step;
      },
    });
  }

  async step<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    if (this.ends()) return new Promise(() => undefined);
    try {
      const answer = await ask();
      return this.ends() ? new Promise(() => undefined) : answer;
    } catch (error) {
      if (this.ends()) return new Promise(() => undefined);
      throw error;
    }
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.onDeath();
  }

  private ends(): boolean {
    if (!this.over && ++this.steps >= this.diesAt) this.end();
    return this.over;
  }
}
