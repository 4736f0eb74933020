import type { Placeholder } from '../placeholder.ts';
import type { Route } from '../routes.ts';
import type { StructSchema } from '../schemas.ts';
import { isLonger } from '../long-values.ts';
import { JsonScanner } from '../json.ts';
import { Loss } from '../../../domain/values/loss.ts';
import type { ByteScan } from './bytes.ts';
import { CLOSE_BRACE, COLON, COMMA, isNull, LOWER_N, OPEN_BRACE, QUESTION, QUOTE, skipValue, TILDE, ZERO } from './bytes.ts';
import { writerOf } from './choose-writer.ts';
import { FieldNames, NO_FIELD } from './field-names.ts';
import type { ValueWriter } from './text-writers.ts';

const NONE: readonly number[] = [];
const NO_VALUE = -1;
/** The longest header of a value: its length in ten digits, and a colon. */
const HEADER_MAX = 11;

/** Writes rows of one table, encoded as `encodeValues` does, straight from events of one schema. */
export class RowScanner {
  readonly #route: Route;
  readonly #schema: StructSchema | null;
  readonly #placeholder: Placeholder;
  readonly #names: FieldNames;
  readonly #writers: readonly (ValueWriter | null)[];
  /** By column: digits that the length before its value had last. */
  readonly #digits: number[];
  /** By column: the row in which it was seen last, as counted here. */
  readonly #seen: number[];
  #rows = 0;
  /** By column: where its entry begins and ends in `out`, and where its value begins; `NO_VALUE` for NULL and the unknown. */
  readonly #entryFrom: number[];
  readonly #entryTo: number[];
  readonly #valueFrom: number[];
  #unknown: number[] = [];
  /** Whether a value of the row scanned last stands for one that the log left out. */
  hasLeftOut = false;

  constructor(route: Route, schema: StructSchema | null, placeholder: Placeholder) {
    this.#route = route;
    this.#schema = schema;
    this.#placeholder = placeholder;
    const { columns, pair, side, names } = route;
    this.#names = new FieldNames((name) => columns.get(name) ?? -1);
    this.#writers = pair.columns.map((column, index) => writerOf(column, side, schema?.get(names[index] as string) ?? null, (buf, at) => placeholder.mayStandAt(buf, at)));
    const { length } = names;
    this.#digits = Array.from({ length }, () => 1);
    this.#seen = Array.from({ length }, () => 0);
    this.#entryFrom = Array.from({ length }, () => 0);
    this.#entryTo = Array.from({ length }, () => 0);
    this.#valueFrom = Array.from({ length }, () => NO_VALUE);
  }

  /** Reads the row at `scan.at` and writes it at `scan.to`, all columns in the pair's order; false where the slow decoder must. */
  scan(scan: ByteScan): boolean {
    const { buf, end } = scan;
    const columns = this.#seen.length;
    const row = ++this.#rows;
    const from = scan.to;
    let at = scan.at;
    let isInOrder = true;
    let last = -1;
    let found = 0;
    if (this.#unknown.length > 0) this.#unknown = [];
    this.hasLeftOut = false;
    if (buf[at++] !== OPEN_BRACE) return false;
    for (let place = 0; ; place++) {
      const column = this.#names.match(buf, at, end, place);
      if (column === NO_FIELD) return false;
      at = this.#names.next;
      if (column < 0) {
        at = skipValue(buf, at, end);
        if (at < 0) return false;
      } else {
        if (this.#seen[column] === row) return false;
        this.#seen[column] = row;
        if (column < last) isInOrder = false;
        last = column;
        found++;
        scan.at = at;
        if (!this.#write(scan, column)) return false;
        at = scan.at;
      }
      const byte = buf[at++];
      if (byte === CLOSE_BRACE) break;
      if (byte !== COMMA) return false;
    }
    scan.at = at;
    // What an event does not have at all is for the slow decoder to report.
    if (found !== columns) return false;
    return isInOrder || this.#reorder(scan, from);
  }

  /** Columns of the row scanned last that the event does not tell, in order. */
  get unknown(): readonly number[] {
    return this.#unknown.length === 0 ? NONE : this.#unknown.sort((left, right) => left - right);
  }

  /** The value of a column of the row scanned last; null where it is NULL or unknown. */
  textOf({ out, ascii }: ByteScan, column: number): string | null {
    const from = this.#valueFrom[column] as number;
    if (from === NO_VALUE) return null;
    const to = this.#entryTo[column] as number;
    return ascii ? out.latin1Slice(from, to) : out.utf8Slice(from, to);
  }

  /** The columns that events carry are known to be there. */
  tellPresence(): void {
    this.#seen.forEach((_row, column) => this.#route.findings.column(column, true));
  }

  #write(scan: ByteScan, column: number): boolean {
    const { buf, at, out } = scan;
    const from = scan.to;
    this.#entryFrom[column] = from;
    if (buf[at] === LOWER_N) {
      if (!isNull(buf, at)) return false;
      scan.at = at + 4;
      return this.#writeNull(scan, column);
    }
    const writer = this.#writers[column];
    if (writer == null || (buf[at] === QUOTE && this.#placeholder.mayStandAt(buf, at))) return this.#convert(scan, column);
    const digits = this.#digits[column] as number;
    scan.to = from + digits + 1;
    if (!writer(scan)) {
      scan.at = at;
      scan.to = from;
      return this.#convert(scan, column);
    }
    const { units } = scan;
    const needed = units < 10 ? 1 : units < 100 ? 2 : units < 1_000 ? 3 : units < 10_000 ? 4 : String(units).length;
    if (needed !== digits) {
      out.copyWithin(from + needed + 1, from + digits + 1, scan.to);
      scan.to += needed - digits;
      this.#digits[column] = needed;
    }
    let left = units;
    for (let index = from + needed - 1; index >= from; index--) {
      const tens = Math.floor(left / 10);
      out[index] = ZERO + left - tens * 10;
      left = tens;
    }
    out[from + needed] = COLON;
    this.#valueFrom[column] = from + needed + 1;
    this.#entryTo[column] = scan.to;
    return true;
  }

  #writeNull(scan: ByteScan, column: number): boolean {
    const stands = this.#route.values[column]?.debeziumNull ?? null;
    if (stands !== null) return this.#writeUnknown(scan, column, stands);
    scan.out[scan.to++] = TILDE;
    this.#valueFrom[column] = NO_VALUE;
    this.#entryTo[column] = scan.to;
    return true;
  }

  #writeUnknown(scan: ByteScan, column: number, loss: Loss | null): boolean {
    if (loss === null) this.hasLeftOut = true;
    else this.#route.findings.loss(column, loss);
    this.#unknown.push(column);
    scan.out[scan.to++] = QUESTION;
    this.#valueFrom[column] = NO_VALUE;
    this.#entryTo[column] = scan.to;
    return true;
  }

  /** The class's own conversion of a value, which may be refused: then the slow decoder says why. */
  #convert(scan: ByteScan, column: number): boolean {
    const { buf, at } = scan;
    const end = skipValue(buf, at, scan.end);
    if (end < 0) return false;
    const { values, maxLengths, names } = this.#route;
    let canonical: string | Loss;
    try {
      const raw = new JsonScanner(buf.utf8Slice(at, end)).value();
      scan.at = end;
      if (raw === null) return false;
      if (this.#placeholder.matches(raw)) return this.#writeUnknown(scan, column, null);
      const maxLength = maxLengths[column] ?? Number.POSITIVE_INFINITY;
      const converter = values[column];
      if (converter === undefined || (maxLength !== Number.POSITIVE_INFINITY && isLonger(raw, maxLength))) return false;
      canonical = converter.fromDebezium(raw, this.#schema?.get(names[column] as string) ?? null);
    } catch {
      return false;
    }
    if (canonical instanceof Loss) return this.#writeUnknown(scan, column, canonical);
    const from = scan.to;
    // A unit takes three bytes at most.
    if (from + HEADER_MAX + 3 * canonical.length > scan.out.length) return false;
    const header = `${canonical.length}:`;
    const valueFrom = from + scan.out.write(header, from, 'latin1');
    scan.to = valueFrom + scan.out.write(canonical, valueFrom, 'utf8');
    this.#valueFrom[column] = valueFrom;
    this.#entryTo[column] = scan.to;
    return true;
  }

  /** Puts the entries, written in the event's order, into the pair's. */
  #reorder(scan: ByteScan, from: number): boolean {
    const { out } = scan;
    const written = scan.to;
    if (written + (written - from) > out.length) return false;
    let to = written;
    for (let column = 0; column < this.#seen.length; column++) {
      const entryFrom = this.#entryFrom[column] as number;
      const entryTo = this.#entryTo[column] as number;
      out.copyWithin(to, entryFrom, entryTo);
      to += entryTo - entryFrom;
    }
    out.copyWithin(from, written, to);
    // Values have moved to where the pair has them.
    let at = from;
    for (let column = 0; column < this.#seen.length; column++) {
      const size = (this.#entryTo[column] as number) - (this.#entryFrom[column] as number);
      const valueFrom = this.#valueFrom[column] as number;
      if (valueFrom !== NO_VALUE) this.#valueFrom[column] = at + valueFrom - (this.#entryFrom[column] as number);
      this.#entryTo[column] = at + size;
      at += size;
    }
    return true;
  }
}
