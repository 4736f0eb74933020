import type { SampleValue } from '../drift.ts';
import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import type { Loss } from './loss.ts';

/** What a Kafka Connect schema says about one field. */
export interface FieldSchema {
  /** The schema's name, e.g. `io.debezium.time.MicroTimestamp`; null for plain types. */
  readonly name: string | null;
  /** `int64`, `string`, `bytes`, `struct`, `array`, … */
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Of an array: its elements. */
  readonly items: FieldSchema | null;
  /** Of a struct: its fields by name. */
  readonly fields?: Readonly<Record<string, FieldSchema>>;
}

/** What docs/values.md says of a class. */
export interface ClassDocs {
  readonly types: string;
  readonly compared: string;
  readonly normalised: string;
  readonly notCompared: string;
  /** Equal values whose digests may differ, so that a sweep reads and compares them; absent where there are none. */
  readonly readAgain?: string;
}

/** How the values of one class are brought to their one form. */
export interface ValueClass {
  /**
   * From what PostgreSQL prints under the pinned settings, and from the canonical form itself. `type` may be of
   * another class where `chooseClass` joins the two.
   * @throws LockstepError `bad_value`
   */
  readonly fromText: (type: SqlType, text: string) => string;
  /** From a change event, `type` being of this class. @throws LockstepError `bad_value` */
  readonly fromDebezium: (type: SqlType, encoded: Exclude<ExactJson, null>, schema: FieldSchema | null) => string | Loss;
  /** SQL text of a column: two values with the same text have the same canonical form. */
  readonly digestSql: (type: SqlType, column: string) => string;
  /** As JSON shows it. */
  readonly shown: (canonical: string) => SampleValue;
  /** From what a person typed; undefined where it is no such value. */
  readonly fromInput: (type: SqlType, typed: string) => string | undefined;
  readonly docs: ClassDocs;
}
