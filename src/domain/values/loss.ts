/** Why an event does not tell a value that the database has. */
export type LossReason =
  | 'ambiguous'
  | 'dimensions'
  | 'double'
  | 'end_of_day'
  | 'era'
  | 'interval'
  | 'leading_zeros'
  | 'milliseconds'
  | 'nanoseconds'
  | 'null'
  | 'range'
  | 'rule'
  | 'unit'
  | 'unsupported'
  | 'zone';

/** A value that an event carries in a form that lost something: the row is read instead. */
export class Loss {
  readonly reason: LossReason;

  constructor(reason: LossReason) {
    this.reason = reason;
  }
}

/** One of each, so that a loss costs no allocation on the hot path. */
export const LOSS: { readonly [reason in LossReason]: Loss } = {
  ambiguous: new Loss('ambiguous'),
  dimensions: new Loss('dimensions'),
  double: new Loss('double'),
  end_of_day: new Loss('end_of_day'),
  era: new Loss('era'),
  interval: new Loss('interval'),
  leading_zeros: new Loss('leading_zeros'),
  milliseconds: new Loss('milliseconds'),
  nanoseconds: new Loss('nanoseconds'),
  null: new Loss('null'),
  range: new Loss('range'),
  rule: new Loss('rule'),
  unit: new Loss('unit'),
  unsupported: new Loss('unsupported'),
  zone: new Loss('zone'),
};

const MESSAGES: { readonly [reason in LossReason]: string } = {
  ambiguous: 'the encoding can stand for several values, and no schema tells which',
  dimensions: 'events do not carry arrays of arrays',
  double: 'events carry decimals as doubles, which keep 15 digits (decimal.handling.mode)',
  end_of_day: 'events write 24:00 as 00:00 (time.precision.mode)',
  era: 'events write years before Christ as years after it',
  interval: 'events fold the months and days of intervals into one number (interval.handling.mode)',
  leading_zeros: 'events drop the zeros in front of bit strings',
  milliseconds: 'events carry milliseconds where the column keeps microseconds (time.precision.mode)',
  nanoseconds: 'events carry more digits of the time than the column can hold',
  null: 'events write NULL for values of this type that they cannot carry',
  range: 'the value is beyond what the encoding can count to',
  rule: 'the column’s rule needs the values of both sides',
  unit: 'nothing tells the unit of the number: the message has no schema',
  unsupported: 'events do not carry values of this type',
  zone: 'events move times with a zone to UTC and drop the zone',
};

/** One sentence about a loss, for reports. */
export function lossMessage(reason: LossReason): string {
  return `${MESSAGES[reason]}; rows are read from both databases instead`;
}
