import { expect, it } from 'vitest';
import { corpus, decoderMaker, registry } from '../../../fuzz/corpus.ts';
import { fuzz } from '../../../fuzz/fuzz.ts';

/** More with `npm run fuzz -- --messages N --seed S`. */
const MESSAGES = 5_000;

it('mutated messages never break the decoders, and never change what others decode to', () => {
  const schemas = registry();
  const report = fuzz({ messages: MESSAGES, seed: 20_240_601, corpus: corpus(), registry: schemas, makeDecoder: decoderMaker(schemas) });
  expect(report.problems).toEqual([]);
  expect(Object.keys(report.outcomes)).toEqual(expect.arrayContaining(['row', 'undecodable not_json', 'undecodable bad_avro', 'undecodable bad_value', 'undecodable unknown_shape', 'undecodable unknown_schema', 'undecodable no_key']));
}, 60_000);
