const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const BASE64_URL = /^[A-Za-z0-9_-]*={0,2}$/;

/** Bytes of padded base64; null where `text` is none. */
export function bytesOfBase64(text: string): Buffer | null {
  return BASE64.test(text) ? Buffer.from(text, 'base64') : null;
}

/** Bytes of URL-safe base64, padded or not; null where `text` is none. */
export function bytesOfBase64Url(text: string): Buffer | null {
  return BASE64_URL.test(text) && text.replace(/=+$/, '').length % 4 !== 1 ? Buffer.from(text, 'base64url') : null;
}

/** The integer that big-endian two's complement bytes stand for; no bytes are 0. */
export function twosComplement(bytes: Buffer): bigint {
  if (bytes.length === 0) return 0n;
  const unsigned = BigInt(`0x${bytes.toString('hex')}`);
  return (bytes[0] as number) >= 0x80 ? unsigned - (1n << BigInt(8 * bytes.length)) : unsigned;
}
