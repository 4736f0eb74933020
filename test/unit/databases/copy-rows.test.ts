import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CopyReader, leadingTexts } from '../../../src/databases/postgres/copy-rows.ts';

type Field = Buffer | null;

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\u00ff\r\n\0', 'latin1'), Buffer.alloc(8)]);

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int16(value: number): Buffer {
  return int32(value).subarray(2);
}

function fieldsOf(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap((field) => (field === null ? [int32(-1)] : [int32(field.length), field])));
}

function copyOf(tuples: readonly (readonly Field[])[]): Buffer {
  return Buffer.concat([HEADER, ...tuples.flatMap((fields) => [int16(fields.length), fieldsOf(fields)]), int16(-1)]);
}

const field: fc.Arbitrary<Field> = fc.option(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)));
const tuples = fc.array(fc.array(field, { minLength: 1, maxLength: 5 }), { maxLength: 20 });

function read(pieces: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const reader = new CopyReader((bytes) => seen.push(bytes.toString('hex')));
  for (const piece of pieces) reader.push(piece);
  reader.finish();
  return seen;
}

describe('COPY in binary form', () => {
  it('gives the same rows in pieces of any size', () => {
    fc.assert(
      fc.property(tuples, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (rows, sizes) => {
        const stream = copyOf(rows);
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          pieces.push(stream.subarray(at, at + size));
          at += size;
        }
        expect(read(pieces)).toEqual(rows.map((row) => fieldsOf(row).toString('hex')));
      }),
    );
  });

  it('takes no stream for whole that broke off', () => {
    const stream = copyOf([[Buffer.from('a')], [Buffer.from('b')]]);
    for (let end = 0; end < stream.length; end++) expect(() => read([stream.subarray(0, end)])).toThrow(expect.objectContaining({ code: 'bad_copy' }));
    expect(() => read([Buffer.from('ERROR: something else entirely')])).toThrow(expect.objectContaining({ code: 'bad_copy' }));
  });

  it('reads the texts of the first fields, and where the others begin', () => {
    const bytes = fieldsOf([Buffer.from('é'), null, Buffer.from('rest')]);
    expect(leadingTexts(bytes, 2)).toEqual({ texts: ['é', null], end: 10 });
    expect(bytes.subarray(10)).toEqual(fieldsOf([Buffer.from('rest')]));
  });
});
