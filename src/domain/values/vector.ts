import { isJsonObject, JsonNumber } from '../json.ts';
import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { float4Text } from './float.ts';
import type { ValueClass } from './value-class.ts';

function element(type: SqlType, encoded: ExactJson | undefined): string {
  if (!(encoded instanceof JsonNumber)) throw badValue(type, encoded, 'a number');
  return float4Text(Number(encoded.text));
}

const SPARSE = 'sparsevec';

/** pgvector's types. Events carry an array of numbers, or `{dimensions, vector}` with indices from 1 where most are zero. */
export const vectorClass: ValueClass = {
  fromText: (_type, text) => text,
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'string') return encoded;
    if (Array.isArray(encoded)) return `[${(encoded as readonly ExactJson[]).map((item) => element(type, item)).join(',')}]`;
    if (type.base !== SPARSE || !isJsonObject(encoded)) throw badValue(type, encoded, 'a vector');
    const { dimensions, vector } = encoded;
    if (!(dimensions instanceof JsonNumber) || !isJsonObject(vector)) throw badValue(type, encoded, '{dimensions, vector}');
    const entries = Object.entries(vector).map(([index, value]) => ({ index, value: element(type, value) }));
    const sorted = entries.sort((left, right) => Number(left.index) - Number(right.index));
    return `{${sorted.map(({ index, value }) => `${index}:${value}`).join(',')}}/${dimensions.text}`;
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => typed.trim(),
  docs: {
    types: 'vector, halfvec, sparsevec of pgvector',
    compared: 'every element, as the shortest decimal that reads back as the same float',
    normalised: 'nothing',
    notCompared: 'nothing',
  },
};
