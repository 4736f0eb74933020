import { Decoder, Encoder } from '@toondepauw/node-zstd';
import kafkajs from 'kafkajs';
import snappy from 'kafkajs-snappy';
import { compressFrame, decompressFrame } from 'lz4-napi';

/** zstd's own default. */
const ZSTD_LEVEL = 3;

let registered = false;

/** Teaches kafkajs snappy, lz4 and zstd; it knows gzip itself. Idempotent. */
export function registerCodecs(): void {
  if (registered) return;
  registered = true;
  const encoder = new Encoder(ZSTD_LEVEL);
  const decoder = new Decoder();
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  const codecs = CompressionCodecs as Record<number, unknown>;
  codecs[CompressionTypes.Snappy] = snappy;
  codecs[CompressionTypes.LZ4] = () => ({
    compress: (data: { readonly buffer: Buffer }) => compressFrame(data.buffer),
    decompress: (data: Buffer) => decompressFrame(data),
  });
  codecs[CompressionTypes.ZSTD] = () => ({
    compress: (data: { readonly buffer: Buffer }) => encoder.encode(data.buffer),
    decompress: (data: Buffer) => decoder.decode(data),
  });
}
