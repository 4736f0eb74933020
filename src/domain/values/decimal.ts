import type { ExactJson } from '../json.ts';
import { JsonNumber, isJsonObject } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { bytesOfBase64, twosComplement } from './base64.ts';
import { withoutEnd } from './ends.ts';
import { LOSS } from './loss.ts';
import type { Loss } from './loss.ts';
import type { FieldSchema, ValueClass } from './value-class.ts';

const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
/** As PostgreSQL prints a numeric: of these only zeros at the end have to go. */
const PLAIN_FRACTION = /^-?(?:0|[1-9][0-9]*)\.[0-9]+$/;
const INTEGER = /^[+-]?[0-9]+$/;
const NUMBER = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,9}))?$/;

/** PostgreSQL's numeric has at most 131,072 digits before the point and 16,383 after it. */
const EXPONENT_MAX = 200_000;
/** JSON numbers with more zeros than this are written with an exponent. */
const JSON_ZEROS_MAX = 40;
/** A double keeps every decimal of this many digits. */
const DOUBLE_EXACT_DIGITS = 15;

const CONNECT_DECIMAL = 'org.apache.kafka.connect.data.Decimal';
/** As JSON writes an infinite double; text has `POSITIVE_INFINITY`. */
const DOUBLE_INFINITE = /^-?Infinity$/;
const DOUBLE_TYPES: ReadonlySet<string> = new Set(['double', 'float', 'float64', 'float32']);

/** A finite number: ± digits × 10^exponent, without zeros at either end of the digits; zero has no digits. */
interface Scientific {
  readonly negative: boolean;
  readonly digits: string;
  readonly exponent: number;
}

function parseNumber(text: string): Scientific | null {
  const match = NUMBER.exec(text);
  if (match === null) return null;
  const whole = match[2] ?? '';
  const fraction = match[3] ?? '';
  if (whole.length + fraction.length === 0) return null;
  const all = whole + fraction;
  const significant = withoutEnd(all, '0');
  const zeros = all.length - significant.length;
  const digits = significant.replace(/^0+/, '');
  if (digits === '') return { negative: false, digits: '', exponent: 0 };
  const exponent = Number(match[4] ?? 0) - fraction.length + zeros;
  if (Math.abs(exponent) > EXPONENT_MAX) return null;
  return { negative: match[1] === '-', digits, exponent };
}

function plain({ negative, digits, exponent }: Scientific): string {
  if (digits === '') return '0';
  const sign = negative ? '-' : '';
  if (exponent >= 0) return sign + digits + '0'.repeat(exponent);
  const point = digits.length + exponent;
  if (point > 0) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  return `${sign}0.${'0'.repeat(-point)}${digits}`;
}

/** A plain fraction without the zeros that end it. */
function shortened(text: string): string {
  const significant = withoutEnd(text, '0');
  const short = significant.endsWith('.') ? significant.slice(0, -1) : significant;
  return short === '-0' ? '0' : short;
}

/** The canonical form of a decimal number in any notation, `NaN` and ±`Infinity`; null where `text` is none. */
export function canonicalDecimal(text: string): string | null {
  if (PLAIN_INTEGER.test(text)) return text;
  if (PLAIN_FRACTION.test(text)) return shortened(text);
  const number = parseNumber(text);
  if (number !== null) return plain(number);
  switch (text.toLowerCase()) {
    case 'nan':
    case 'not_a_number':
      return 'NaN';
    case 'infinity':
    case '+infinity':
    case 'inf':
    case 'positive_infinity':
      return 'Infinity';
    case '-infinity':
    case '-inf':
    case 'negative_infinity':
      return '-Infinity';
    default:
      return null;
  }
}

/** A number of a JSON document by value, short however large it is; null where `text` is no number. */
export function canonicalJsonNumber(text: string): string | null {
  if (PLAIN_INTEGER.test(text) && text.length <= JSON_ZEROS_MAX) return text;
  const match = NUMBER.exec(text);
  if (match === null) return null;
  const number = parseNumber(text);
  // Out of every database's range: only its own spelling equals it.
  if (number === null) return text.toLowerCase();
  if (number.exponent <= JSON_ZEROS_MAX && -number.exponent - number.digits.length <= JSON_ZEROS_MAX) return plain(number);
  return `${number.negative ? '-' : ''}${number.digits}e${number.exponent}`;
}

/** The canonical form of an integer; null where `text` is none. */
export function canonicalInteger(text: string): string | null {
  if (PLAIN_INTEGER.test(text)) return text;
  return INTEGER.test(text) ? BigInt(text.startsWith('+') ? text.slice(1) : text).toString() : null;
}

function unscaledDecimal(type: SqlType, base64: string, scale: number): string {
  const bytes = bytesOfBase64(base64);
  if (bytes === null) throw badValue(type, base64, 'base64 of an unscaled number');
  return plain(parseNumber(`${twosComplement(bytes)}e${-scale}`) ?? { negative: false, digits: '', exponent: 0 });
}

function decimalText(type: SqlType, text: string): string {
  const canonical = canonicalDecimal(text);
  if (canonical === null) throw badValue(type, text, 'a decimal number');
  return canonical;
}

function decodeNumberText(type: SqlType, number: JsonNumber, schema: FieldSchema | null): string | Loss {
  const integral = schema === null ? type.base.startsWith('int') : schema.type.startsWith('int');
  if (integral && INTEGER.test(number.text)) return decimalText(type, number.text);
  // A double in between has rounded whatever it could not hold.
  if (type.precision !== null && type.precision <= DOUBLE_EXACT_DIGITS) return decimalText(type, number.text);
  return LOSS.double;
}

function decodeDecimal(type: SqlType, encoded: Exclude<ExactJson, null>, schema: FieldSchema | null, scaleOf: (type: SqlType) => number | null): string | Loss {
  if (encoded instanceof JsonNumber) return decodeNumberText(type, encoded, schema);
  if (isJsonObject(encoded)) {
    const { scale, value } = encoded;
    if (!(scale instanceof JsonNumber) || typeof value !== 'string') throw badValue(type, encoded, '{scale, value}');
    return unscaledDecimal(type, value, Number(scale.text));
  }
  if (typeof encoded !== 'string') throw badValue(type, encoded, 'a decimal number');
  // A double has no other way to write these, and writes what is too large for it as infinite.
  const isDouble = schema === null ? DOUBLE_INFINITE.test(encoded) : DOUBLE_TYPES.has(schema.type);
  if (isDouble) return encoded === 'NaN' ? encoded : LOSS.double;
  if (schema !== null) {
    if (schema.type === 'string') return decimalText(type, encoded);
    if (schema.name !== CONNECT_DECIMAL) return LOSS.unsupported;
    const scale = Number(schema.parameters['scale'] ?? scaleOf(type) ?? Number.NaN);
    if (!Number.isInteger(scale)) throw badValue(type, encoded, 'a schema with the scale');
    return unscaledDecimal(type, encoded, scale);
  }
  const scale = scaleOf(type);
  const asText = canonicalDecimal(encoded);
  if (scale === null) return asText ?? decimalText(type, encoded);
  const isBase64 = bytesOfBase64(encoded) !== null;
  if (asText === null) return unscaledDecimal(type, encoded, scale);
  // `1234` is four digits and three bytes; with decimals to show, the text form has a point.
  if (!isBase64) return asText;
  return scale > 0 ? unscaledDecimal(type, encoded, scale) : LOSS.ambiguous;
}

function withoutTrailingZeros(expression: string): string {
  return `pg_catalog.trim_scale(${expression})::text`;
}

/** A number in a text column counts as one up to this many characters; PostgreSQL's numeric takes far more. */
const TEXT_NUMBER_CHARS_MAX = 1000;
const TEXT_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;
/** The same grammar for PostgreSQL's `~`. */
const TEXT_NUMBER_SQL = `'^-?(0|[1-9][0-9]*)([.][0-9]+)?$'`;
const NAMED_NUMBERS: ReadonlySet<string> = new Set(['NaN', 'Infinity', '-Infinity']);

/**
 * A text column's value against numbers: the number that it spells plainly, whatever zeros end its fraction.
 * Any other spelling (`007`, `+1`, `1e3`, `-0`) stands for itself, and equals no number.
 */
export function numberInText(text: string): string {
  if (NAMED_NUMBERS.has(text)) return text;
  if (text.length > TEXT_NUMBER_CHARS_MAX || !TEXT_NUMBER.test(text)) return text;
  const canonical = canonicalDecimal(text) ?? text;
  return canonical === '0' && text.startsWith('-') ? text : canonical;
}

/** SQL of `numberInText`. */
export function numberInTextSql(column: string): string {
  const text = `${column}::text`;
  return `(CASE WHEN pg_catalog.length(${text}) <= ${TEXT_NUMBER_CHARS_MAX} AND ${text} ~ ${TEXT_NUMBER_SQL} AND ${text} !~ '^-[0.]+$' THEN pg_catalog.trim_scale(${text}::numeric)::text ELSE ${text} END)`;
}

export const integerClass: ValueClass = {
  fromText: (type, text) => {
    const canonical = canonicalInteger(text);
    if (canonical === null) throw badValue(type, text, 'an integer');
    return canonical;
  },
  fromDebezium: (type, encoded) => {
    const canonical = encoded instanceof JsonNumber ? canonicalInteger(encoded.text) : typeof encoded === 'string' ? canonicalInteger(encoded) : null;
    if (canonical === null) throw badValue(type, encoded, 'an integer');
    return canonical;
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => {
    const number = Number(canonical);
    return Number.isSafeInteger(number) ? number : canonical;
  },
  fromInput: (_type, typed) => canonicalInteger(typed.trim()) ?? undefined,
  docs: {
    types: 'smallint, integer, bigint, oid and their serials and identities',
    compared: 'the number, exactly, whatever its width',
    normalised: 'nothing',
    notCompared: 'nothing',
  },
};

export const decimalClass: ValueClass = {
  fromText: (type, text) => (type.base === 'money' ? moneyText(type, text) : decimalText(type, text)),
  fromDebezium: (type, encoded, schema) => decodeDecimal(type, encoded, schema, ({ base, scale }) => (base === 'numeric' ? scale : null)),
  digestSql: (type, column) => {
    switch (type.base) {
      case 'numeric':
        return withoutTrailingZeros(column);
      case 'money':
        return withoutTrailingZeros(`${column}::numeric`);
      case 'float4':
      case 'float8':
        return `(CASE WHEN ${column}::text IN ('NaN', 'Infinity', '-Infinity') THEN ${column}::text ELSE ${withoutTrailingZeros(`${column}::text::numeric`)} END)`;
      default:
        return `${column}::text`;
    }
  },
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => canonicalDecimal(typed.trim()) ?? undefined,
  docs: {
    types: 'numeric; integers, numeric, money, floats and text against each other where they differ',
    compared: 'the number, exactly, with all its digits; a float stands for the shortest decimal that reads back as it, so a number that lost digits on its way into a double differs',
    normalised: 'zeros at the end of the fraction (1.50 is 1.5), the sign of zero; in a text column the plain spelling of a number counts as it (`1.50`, not `007`, `+1` or `1e3`)',
    notCompared: 'the declared scale',
  },
};

/** Cents: what money has in the locale that sessions pin. */
const MONEY_SCALE = 2;

function moneyText(type: SqlType, text: string): string {
  const bare = text.replace(/[$,\s]/g, '');
  const negative = /^\((.*)\)$/.exec(bare);
  return decimalText(type, negative === null ? bare : `-${negative[1] ?? ''}`);
}

export const moneyClass: ValueClass = {
  fromText: moneyText,
  fromDebezium: (type, encoded, schema) => decodeDecimal(type, encoded, schema, () => MONEY_SCALE),
  digestSql: (_type, column) => withoutTrailingZeros(`${column}::numeric`),
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => canonicalDecimal(typed.replace(/[$,\s]/g, '')) ?? undefined,
  docs: {
    types: 'money',
    compared: 'the amount, exactly',
    normalised: 'currency sign, thousands separators and zeros at the end (lc_monetary is pinned to C)',
    notCompared: 'the currency, which PostgreSQL does not store',
  },
};
