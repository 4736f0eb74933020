import type { PairColumn, Side } from '../../../domain/pair.ts';
import { columnOn } from '../../../domain/pair.ts';
import { classOf } from '../../../domain/values/choose.ts';
import type { FieldSchema } from '../../../domain/values/classes.ts';
import { writeJson } from './json-writer.ts';
import { unscaledWriter, writeBoolean, writeDecimalText, writeFloat4, writeFloat8, writeInteger } from './number-writers.ts';
import type { ValueWriter } from './text-writers.ts';
import { textArrayWriter, writePaddedText, writeText, writeUuid } from './text-writers.ts';
import { dateWriter, timestampWriter, writeInstant } from './time-writers.ts';

const CONNECT_DECIMAL = 'org.apache.kafka.connect.data.Decimal';
/** More decimals than a column of this size is likely to have are left to the class. */
const SCALE_MAX = 18;
const MILLIS_PRECISION_MAX = 3;
/** Without a schema, µs below this may be ms (1961 to 1978), and ms above the next µs. */
const MICROS_LEAST = 253_402_300_800_000;
const MILLIS_MOST = 100_000_000_000_000;
const UNITS_PER_SECOND: Readonly<Record<string, number>> = {
  'io.debezium.time.Timestamp': 1_000,
  'org.apache.kafka.connect.data.Timestamp': 1_000,
  'io.debezium.time.MicroTimestamp': 1_000_000,
};

/**
 * What writes a column's values straight from an event's bytes; null where that is left to the class's own conversion.
 * It writes what that would make, or leaves the value to it.
 */
export function writerOf(column: PairColumn, side: Side, schema: FieldSchema | null, mayBeLeftOut: (buf: Uint8Array, at: number) => boolean): ValueWriter | null {
  const { type, expression } = columnOn(column, side);
  const hasRules = column.rules !== undefined && Object.keys(column.rules).length > 0;
  if (expression !== undefined || hasRules || column.valueClass !== classOf(type)) return null;
  switch (column.valueClass) {
    case 'integer':
      return writeInteger;
    case 'text':
      return writeText;
    case 'padded_text':
      return writePaddedText;
    case 'boolean':
      return writeBoolean;
    case 'uuid':
      return writeUuid;
    case 'float8':
      return writeFloat8;
    case 'float4':
      return writeFloat4;
    case 'json':
      return writeJson;
    case 'date':
      return dateWriter();
    case 'instant':
      return writeInstant;
    case 'timestamp':
      return timestamp(type.precision, schema);
    case 'decimal':
      return decimal(type.scale, schema);
    case 'array':
      return type.kind === 'base' && (type.base === 'text' || type.base === 'varchar') && (column.elementClass ?? 'text') === 'text' ? textArrayWriter(mayBeLeftOut) : null;
    case 'bits':
    case 'bytes':
    case 'composite':
    case 'float':
    case 'geometric':
    case 'hstore':
    case 'interval':
    case 'money':
    case 'network':
    case 'opaque_text':
    case 'range':
    case 'text_search':
    case 'time':
    case 'timetz':
    case 'vector':
    case 'xml':
      return null;
  }
}

function timestamp(precision: number | null, schema: FieldSchema | null): ValueWriter | null {
  const keepsMillis = precision !== null && precision <= MILLIS_PRECISION_MAX;
  if (schema === null) return keepsMillis ? timestampWriter(1_000, 0, MILLIS_MOST) : timestampWriter(1_000_000, MICROS_LEAST, Number.MAX_SAFE_INTEGER);
  const units = schema.name === null ? undefined : UNITS_PER_SECOND[schema.name];
  if (units === undefined || (units === 1_000 && !keepsMillis)) return null;
  return timestampWriter(units, 0, Number.MAX_SAFE_INTEGER);
}

function decimal(columnScale: number | null, schema: FieldSchema | null): ValueWriter | null {
  if (schema === null) return columnScale !== null && columnScale > 0 && columnScale <= SCALE_MAX ? unscaledWriter(columnScale) : null;
  if (schema.type === 'string') return writeDecimalText;
  if (schema.name !== CONNECT_DECIMAL) return null;
  const scale = Number(schema.parameters['scale'] ?? columnScale ?? Number.NaN);
  return Number.isInteger(scale) && scale >= 0 && scale <= SCALE_MAX ? unscaledWriter(scale) : null;
}
