// Loaded before a program (`node --import FILE?path=SHIFT`): its wall clock is off by the milliseconds that the file SHIFT
// says, at any time anew. What counts monotonically (timers, performance, hrtime) goes on as it did, as after a jump of a real clock.
import { readFileSync } from 'node:fs';

const LOOK_MS = 50;
const path = new URL(import.meta.url).searchParams.get('path') ?? '';
const RealDate = Date;
let shiftMs = 0;

function look(): void {
  try {
    const shift = Number(readFileSync(path, 'utf8'));
    if (Number.isFinite(shift)) shiftMs = shift;
  } catch {
    // Not there: the clock is right.
  }
}

look();
setInterval(look, LOOK_MS).unref();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, parameters: unknown[], newTarget) => Reflect.construct(target, parameters.length === 0 ? [target.now() + shiftMs] : parameters, newTarget) as object,
  get: (target, property, receiver) => (property === 'now' ? () => target.now() + shiftMs : (Reflect.get(target, property, receiver) as unknown)),
});
