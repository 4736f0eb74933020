import type { PgoutputMessage, Tuple } from '../../../../src/events/postgres/pgoutput.ts';

const EPOCH_US = 946_684_800_000_000n;

function uint8(value: number): Buffer {
  return Buffer.from([value]);
}
function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
function time(us: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(us - EPOCH_US);
  return bytes;
}
function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf8');
}
function tuple(values: Tuple): Buffer {
  const parts = [uint16(values.length)];
  for (const value of values) {
    if (value === null) parts.push(Buffer.from('n'));
    else if (value === undefined) parts.push(Buffer.from('u'));
    else parts.push(Buffer.from('t'), uint32(Buffer.byteLength(value)), Buffer.from(value));
  }
  return Buffer.concat(parts);
}

/** Encodes a message as the server does. */
export function encode(message: PgoutputMessage): Buffer {
  switch (message.type) {
    case 'begin':
      return Buffer.concat([Buffer.from('B'), uint64(message.commitLsn), time(message.committedAtUs), uint32(message.xid)]);
    case 'commit':
      return Buffer.concat([Buffer.from('C'), uint8(0), uint64(message.commitLsn), uint64(message.endLsn), time(message.committedAtUs)]);
    case 'relation':
      return Buffer.concat([
        Buffer.from('R'),
        uint32(message.relationId),
        text(message.schema === 'pg_catalog' ? '' : message.schema),
        text(message.name),
        Buffer.from(message.replicaIdentity),
        uint16(message.columns.length),
        ...message.columns.flatMap((column) => [uint8(column.identity ? 1 : 0), text(column.name), uint32(column.typeOid), int32(column.typeModifier)]),
      ]);
    case 'insert':
      return Buffer.concat([Buffer.from('I'), uint32(message.relationId), Buffer.from('N'), tuple(message.row)]);
    case 'update':
      return Buffer.concat([
        Buffer.from('U'),
        uint32(message.relationId),
        ...(message.old === null ? [] : [Buffer.from(message.old.kind === 'key' ? 'K' : 'O'), tuple(message.old.values)]),
        Buffer.from('N'),
        tuple(message.row),
      ]);
    case 'delete':
      return Buffer.concat([
        Buffer.from('D'),
        uint32(message.relationId),
        Buffer.from(message.old.kind === 'key' ? 'K' : 'O'),
        tuple(message.old.values),
      ]);
    case 'truncate':
      return Buffer.concat([Buffer.from('T'), uint32(message.relationIds.length), uint8(0), ...message.relationIds.map(uint32)]);
    case 'type':
      return Buffer.concat([Buffer.from('Y'), uint32(1), text('public'), text('status')]);
    case 'origin':
      return Buffer.concat([Buffer.from('O'), uint64(1n), text('elsewhere')]);
    case 'message':
      return Buffer.concat([Buffer.from('M'), uint8(0), uint64(1n), text('prefix'), uint32(2), Buffer.from('hi')]);
  }
}
