import type { Position, SourceRecord } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import { columnOn, tableOn } from '../../domain/pair.ts';
import type { Pair, Side } from '../../domain/pair.ts';
import { keyId, keyOf } from '../../domain/row.ts';
import type { ImageValue, RowImage, RowKey } from '../../domain/row.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import { Loss } from '../../domain/values/loss.ts';
import type { DeleteMessage, InsertMessage, OldTuple, RelationMessage, TruncateMessage, Tuple, UpdateMessage } from './pgoutput.ts';

/** Bytes of a message kept in a dead letter. */
const DEAD_LETTER_BYTES = 64 * 1024;

/** The transaction that a change belongs to, as its Begin told. */
export interface OpenTransaction {
  readonly commitLsn: bigint;
  readonly committedAtUs: bigint;
  readonly txId: string;
}

export type ChangeMessage = InsertMessage | UpdateMessage | DeleteMessage | TruncateMessage;

interface MappedRelation {
  readonly relation: RelationMessage;
  readonly pairs: readonly PairPlan[];
}

interface PairPlan {
  readonly pair: Pair;
  /** By position in `pair.columns`: position in the tuple; -1 where the table has no such column now. */
  readonly places: readonly number[];
}

/** A value that is not of its column's type. */
class BadColumn {
  readonly column: string;
  readonly reason: string;

  constructor(column: string, reason: string) {
    this.column = column;
    this.reason = reason;
  }
}

/** Turns pgoutput's row messages into records of the pairs that they concern. */
export class ChangeDecoder {
  readonly #side: Side;
  readonly #topic: string;
  readonly #pairs: readonly Pair[];
  readonly #relations = new Map<number, MappedRelation>();

  constructor(side: Side, topic: string, pairs: readonly Pair[]) {
    this.#side = side;
    this.#topic = topic;
    this.#pairs = pairs;
  }

  /** A table's columns from here on in the stream: sent before its first change and after each alteration. */
  relation(relation: RelationMessage): void {
    const pairs = this.#pairs
      .filter((pair) => {
        const table = tableOn(pair, this.#side);
        return table.schema === relation.schema && table.name === relation.name;
      })
      .map((pair) => ({
        pair,
        places: pair.columns.map((column) => {
          const { name } = columnOn(column, this.#side);
          return relation.columns.findIndex((candidate) => candidate.name === name);
        }),
      }));
    this.#relations.set(relation.relationId, { relation, pairs });
  }

  /**
   * The records of one message: none for a table without a pair, two for a changed key.
   * @param lsn where the change stands in the log
   * @param raw the message, copied into a dead letter if need be
   */
  decode(message: ChangeMessage, transaction: OpenTransaction, lsn: bigint, raw: Buffer): readonly SourceRecord[] {
    const records: SourceRecord[] = [];
    if (message.type === 'truncate') {
      for (const relationId of message.relationIds) {
        for (const { pair } of this.#mapped(relationId).pairs) {
          const { committedAtUs } = transaction;
          records.push({ type: 'truncate', pair, side: this.#side, committedAtUs, position: this.#position(transaction, lsn) });
        }
      }
      return records;
    }
    const mapped = this.#mapped(message.relationId);
    for (const plan of mapped.pairs) {
      try {
        this.#rowChange(message, mapped.relation, plan, transaction, lsn, records);
      } catch (failure) {
        if (!(failure instanceof BadColumn)) throw failure;
        records.push(this.#undecodable(plan.pair, mapped.relation, failure, transaction, lsn, raw));
      }
    }
    return records;
  }

  #mapped(relationId: number): MappedRelation {
    const mapped = this.#relations.get(relationId);
    if (mapped === undefined) throw new LockstepError('bad_pgoutput', `a change of relation ${relationId} came before its description`);
    return mapped;
  }

  #rowChange(
    message: Exclude<ChangeMessage, TruncateMessage>,
    relation: RelationMessage,
    plan: PairPlan,
    transaction: OpenTransaction,
    lsn: bigint,
    records: SourceRecord[],
  ): void {
    const { pair } = plan;
    const shared = {
      type: 'row',
      pair,
      side: this.#side,
      committedAtUs: transaction.committedAtUs,
      snapshot: 'none',
      position: this.#position(transaction, lsn),
    } as const;
    const old = message.type === 'insert' ? null : message.old;
    const oldImage = old === null ? null : this.#image(plan, old.values);
    // Of an identity only the key can be trusted: the other columns are sent as NULL.
    const before = old?.kind === 'row' ? oldImage : null;
    if (message.type === 'delete') {
      records.push({ ...shared, op: 'delete', key: this.#key(pair, oldImage ?? []), image: null, before });
      return;
    }
    const row = old === null ? message.row : withKnown(message.row, old, relation);
    const image = this.#image(plan, row);
    const key = this.#key(pair, image);
    if (message.type === 'insert') {
      records.push({ ...shared, op: 'create', key, image, before: null });
      return;
    }
    const oldKey = oldImage === null || !keyIsTold(plan, old, relation) ? null : keyOf(pair, oldImage);
    if (oldKey !== null && keyId(oldKey) !== keyId(key)) {
      records.push({ ...shared, op: 'delete', key: oldKey, image: null, before });
      records.push({ ...shared, op: 'create', key, image, before: null });
      return;
    }
    records.push({ ...shared, op: 'update', key, image, before });
  }

  #image(plan: PairPlan, values: Tuple): RowImage {
    const { columns } = plan.pair;
    const image: ImageValue[] = [];
    for (let index = 0; index < columns.length; index++) {
      const place = plan.places[index] as number;
      const text = place < 0 ? undefined : values[place];
      if (text === undefined) {
        image.push(text);
        continue;
      }
      const column = columns[index] as Pair['columns'][number];
      const compared = valuesOf(column, this.#side);
      try {
        const value = text === null ? compared.eventNull : compared.fromEventText(text);
        image.push(value instanceof Loss ? undefined : value);
      } catch (error) {
        if (error instanceof LockstepError) throw new BadColumn(column.name, 'bad_value');
        throw error;
      }
    }
    return image;
  }

  #key(pair: Pair, image: RowImage): RowKey {
    const key = keyOf(pair, image);
    if (key !== null) return key;
    const missing = pair.key.find((index) => image[index] === undefined || image[index] === null);
    throw new BadColumn(pair.columns[missing ?? 0]?.name ?? '', 'no_key');
  }

  /**
   * The offset stands just behind the start of the commit's record: a sink that has
   * confirmed that offset has applied the transaction, and none confirms part of a record.
   */
  #position(transaction: OpenTransaction, lsn: bigint): Position {
    return { topic: this.#topic, partition: 0, offset: (transaction.commitLsn + 1n).toString(), lsn, txId: transaction.txId };
  }

  #undecodable(
    pair: Pair,
    relation: RelationMessage,
    failure: BadColumn,
    transaction: OpenTransaction,
    lsn: bigint,
    raw: Buffer,
  ): SourceRecord {
    const what = failure.reason === 'no_key' ? 'the key column is missing or NULL' : 'the value is not of the column\'s type';
    return {
      type: 'undecodable',
      pair,
      reason: failure.reason,
      message: `${relation.schema}.${relation.name}, column ${failure.column}: ${what}`,
      // The change's own place, not the commit's: dead letters of one transaction are told apart by it.
      position: { ...this.#position(transaction, lsn), offset: lsn.toString() },
      rawKey: null,
      rawValue: Buffer.from(raw.subarray(0, DEAD_LETTER_BYTES)),
    };
  }
}

/** The new row with values that were left out taken from the old one, where that tells them. */
function withKnown(row: Tuple, old: OldTuple, relation: RelationMessage): Tuple {
  if (!row.includes(undefined)) return row;
  return row.map((value, index) => {
    if (value !== undefined) return value;
    return old.kind === 'row' || relation.columns[index]?.identity === true ? old.values[index] : undefined;
  });
}

/** Whether the old tuple tells all of the pair's key. */
function keyIsTold(plan: PairPlan, old: OldTuple | null, relation: RelationMessage): boolean {
  if (old === null) return false;
  if (old.kind === 'row') return true;
  return plan.pair.key.every((index) => relation.columns[plan.places[index] ?? -1]?.identity === true);
}
