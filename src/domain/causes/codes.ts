/**
 * The patterns that a drift's values or its row's changes can show, each with its general message: a closed list,
 * its codes stable. The order is that of specificity: where two patterns fit the same two values, and where the
 * columns of one row show several, the earlier one names the cause.
 */
const MESSAGES = {
  lost_update: 'lost update, the replica holds an earlier version of the row',
  delete_lost: 'delete lost, the replica still holds the row',
  insert_lost: 'insert lost, the replica never held the row',
  written_beside: 'row written on the replica beside the pipeline',
  replica_write: 'written on the replica by another than the pipeline',
  placeholder_written: 'placeholder of an unavailable value written',
  nan_replaced: 'NaN replaced',
  infinity_replaced: 'infinity replaced',
  era_lost: 'BC dropped',
  end_of_day: '24:00 written as 00:00',
  zone_moved: 'time zone moved, the instant kept',
  interval_folded: 'interval folded to hours',
  sign: 'sign changed',
  case: 'letter case changed',
  unicode_form: 'Unicode form changed',
  mojibake: 'text decoded with the wrong charset',
  json_reformatted: 'the same JSON document written differently',
  text_encoding: 'bytes written as encoded text',
  byte_order: 'bytes reversed',
  padding: 'padding changed',
  whitespace: 'white space changed',
  array_shape: 'array elements kept, its shape changed',
  through_float: 'number through a float',
  precision_lost: 'precision lost',
  epoch_unit: 'unit of time mistaken',
  point_moved: 'decimal point moved',
  clock_offset: 'constant clock offset',
  truncated: 'truncated',
  null_to_empty: 'NULL written as empty',
  empty_to_null: 'empty written as NULL',
  null_to_default: 'NULL written as a default',
  null_lost: 'NULL on the primary, a value on the replica',
  value_lost: 'value on the primary, NULL on the replica',
} as const;

export type CauseCode = keyof typeof MESSAGES;

/** All codes, the most specific first. */
export const CAUSE_CODES = Object.keys(MESSAGES) as readonly CauseCode[];

/** A pattern found; `detail` is its parameter in words (an offset, a length), never a row's value. */
export interface Finding {
  readonly code: CauseCode;
  readonly detail: string | null;
  /** The type of the column that holds what is left allows no more. */
  readonly byType?: true;
}

/** The general message of a code; of one that this version does not know, the code itself. */
export function generalMessage(code: string): string {
  return Object.hasOwn(MESSAGES, code) ? MESSAGES[code as CauseCode] : code;
}

/** The message of a code with its parameter. */
export function causeMessage(code: string, detail: string | null): string {
  return detail === null ? generalMessage(code) : `${generalMessage(code)}: ${detail}`;
}

/** The finding of the most specific code; null for none. */
export function mostSpecific(findings: readonly Finding[]): Finding | null {
  return findings.reduce<Finding | null>((best, finding) => (best === null || CAUSE_CODES.indexOf(finding.code) < CAUSE_CODES.indexOf(best.code) ? finding : best), null);
}
