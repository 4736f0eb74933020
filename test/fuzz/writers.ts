import { isJsonObject, JsonNumber } from '../../src/domain/json.ts';
import type { ExactJson } from '../../src/domain/json.ts';
import type { AvroType } from '../../src/events/avro/schema.ts';

/** As JSON, numbers as they are written. */
export function writeJson(value: ExactJson): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${(value as readonly ExactJson[]).map(writeJson).join(',')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}:${writeJson(inner)}`).join(',')}}`;
}

/** In Avro's binary encoding, from what `AvroCursor` makes of it; a union takes the first branch that fits. */
export function writeAvro(type: AvroType, value: ExactJson, into: Buffer[]): void {
  switch (type.kind) {
    case 'null':
      return;
    case 'boolean':
      into.push(Buffer.from([value === true ? 1 : 0]));
      return;
    case 'int':
    case 'long':
      into.push(varint(BigInt((value as JsonNumber).text)));
      return;
    case 'float': {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(floating(value));
      into.push(bytes);
      return;
    }
    case 'double': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(floating(value));
      into.push(bytes);
      return;
    }
    case 'bytes':
    case 'string': {
      const bytes = Buffer.from(value as string, type.kind === 'bytes' ? 'base64' : 'utf8');
      into.push(varint(BigInt(bytes.length)), bytes);
      return;
    }
    case 'fixed':
      into.push(Buffer.from(value as string, 'base64'));
      return;
    case 'enum':
      into.push(varint(BigInt(type.symbols.indexOf(value as string))));
      return;
    case 'array': {
      const items = value as readonly ExactJson[];
      if (items.length > 0) into.push(varint(BigInt(items.length)));
      for (const item of items) writeAvro(type.items, item, into);
      into.push(varint(0n));
      return;
    }
    case 'map': {
      const entries = isJsonObject(value) ? Object.entries(value) : [];
      if (entries.length > 0) into.push(varint(BigInt(entries.length)));
      for (const [name, inner] of entries) {
        const bytes = Buffer.from(name, 'utf8');
        into.push(varint(BigInt(bytes.length)), bytes);
        writeAvro(type.values, inner, into);
      }
      into.push(varint(0n));
      return;
    }
    case 'record':
      for (const field of type.fields) writeAvro(field.type, isJsonObject(value) ? (value[field.name] ?? null) : null, into);
      return;
    case 'union': {
      const branch = type.branches.findIndex((one) => (one.kind === 'null') === (value === null));
      into.push(varint(BigInt(branch)));
      writeAvro(type.branches[branch] as AvroType, value, into);
    }
  }
}

function varint(value: bigint): Buffer {
  let zigzag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  while (zigzag > 0x7fn) {
    bytes.push(Number(zigzag & 0x7fn) | 0x80);
    zigzag >>= 7n;
  }
  bytes.push(Number(zigzag));
  return Buffer.from(bytes);
}

function floating(value: ExactJson): number {
  return Number(value instanceof JsonNumber ? value.text : value);
}
