/** Decodes mutated messages: npm run fuzz -- --messages 1000000 --seed 1 */
import { parseArgs } from 'node:util';
import { corpus, decoderMaker, registry } from './corpus.ts';
import { fuzz } from './fuzz.ts';

const MIB = 1024 * 1024;
/** A heap that has grown by more after a collection is reported. */
const GROWTH_MAX_MIB = 32;

const { values } = parseArgs({ options: { messages: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } } });
const collect = (globalThis as { readonly gc?: () => void }).gc;
const heaps: number[] = [];
const schemas = registry();
const startedMs = performance.now();
const report = fuzz({
  messages: Number(values.messages),
  seed: Number(values.seed),
  corpus: corpus(),
  registry: schemas,
  makeDecoder: decoderMaker(schemas),
  onProgress: (done) => {
    if (done % 50_000 !== 0 && done !== Number(values.messages)) return;
    collect?.();
    heaps.push(process.memoryUsage().heapUsed / MIB);
    console.error(`${done} messages, ${((performance.now() - startedMs) / 1000).toFixed(0)} s, heap ${heaps.at(-1)?.toFixed(0)} MiB`);
  },
});
const growth = (heaps.at(-1) ?? 0) - (heaps[0] ?? 0);
console.log(JSON.stringify({ ...report, heapGrowthMiB: Math.round(growth) }, null, 2));
if (report.problems.length > 0 || growth > GROWTH_MAX_MIB) process.exitCode = 1;
