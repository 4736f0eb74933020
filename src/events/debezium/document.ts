import { isUtf8 } from 'node:buffer';
import { LockstepError } from '../../domain/errors.ts';
import { isJsonObject } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import { JsonScanner } from './json.ts';

/** A topic has one schema, two while a change of it travels; more would only be searched in vain. */
const SCHEMAS_PER_TOPIC = 4;
/** Topics are those of the pairs; the limit only keeps a misuse from growing without end. */
const MAX_TOPICS = 10_000;

/** A JSON document whose payload has not been read yet. */
export interface OpenDocument<Schema> {
  /** Parsed schema part; null where the document has none. */
  readonly schema: Schema | null;
  /** Stands at the payload. */
  readonly cursor: JsonScanner;
  /** Call when the payload is read: fails with `not_json` unless the document ends there. */
  readonly finish: () => void;
}

interface KnownPrefix<Schema> {
  /** The document's bytes up to the payload. */
  readonly bytes: Buffer;
  /** The same in characters. */
  readonly characters: number;
  readonly schema: Schema | null;
  readonly located: LocatedPayload<Schema>;
}

/** Where a document's payload is. */
export interface LocatedPayload<Schema> {
  /** Its first byte; 0: the document is the payload. */
  readonly at: number;
  readonly schema: Schema | null;
}

const BARE: LocatedPayload<never> = { at: 0, schema: null };

const BARE_BEGINNING = Buffer.from('{"before":');

/** Whether a document begins as an envelope does, so that it is neither wrapped nor anything else. */
function isBareEnvelope(bytes: Buffer): boolean {
  for (let index = 0; index < BARE_BEGINNING.length; index++) if (bytes[index] !== BARE_BEGINNING[index]) return false;
  return true;
}

/**
 * Opens Kafka Connect JSON documents, `{"schema":…,"payload":…}` or bare. The
 * schema is the same in message after message: it is compared as bytes with those
 * seen last on the topic, and parsed only when it is new.
 */
export class DocumentReader<Schema> {
  readonly #parseSchema: (schema: ExactJson) => Schema | null;
  readonly #prefixes = new Map<string, KnownPrefix<Schema>[]>();
  readonly #names = new Map<string, string[]>();

  constructor(parseSchema: (schema: ExactJson) => Schema | null) {
    this.#parseSchema = parseSchema;
  }

  /**
   * Where the payload of a document begins that is written as converters write it, its schema one that is known on
   * the topic; null for any other document.
   */
  locate(topic: string, bytes: Buffer): LocatedPayload<Schema> | null {
    const known = this.#prefixes.get(topic);
    if (known !== undefined) {
      for (const prefix of known) {
        const { length } = prefix.bytes;
        if (bytes.length > length && prefix.bytes.compare(bytes, 0, length) === 0) return prefix.located;
      }
    }
    return isBareEnvelope(bytes) ? BARE : null;
  }

  /** Throws `not_json`, or what parsing the schema throws. */
  open(topic: string, bytes: Buffer): OpenDocument<Schema> {
    const known = this.#prefixes.get(topic);
    if (known !== undefined) {
      for (const { bytes: prefix, characters, schema } of known) {
        const { length } = prefix;
        if (bytes.length <= length || prefix.compare(bytes, 0, length) !== 0) continue;
        return wrapped(new JsonScanner(textOf(bytes.subarray(length), characters), 0, characters, this.#namesOf(topic)), schema);
      }
    }
    const text = textOf(bytes, 0);
    return this.#openWrapped(topic, text) ?? this.#openReversed(text) ?? bare(new JsonScanner(text, 0, 0, this.#namesOf(topic)));
  }

  /** `{"schema":{…},"payload":…}`, as JsonConverter writes it. */
  #openWrapped(topic: string, text: string): OpenDocument<Schema> | null {
    const scanner = new JsonScanner(text);
    if (!scanner.enterField('schema') || scanner.peek() !== '{') return null;
    const schema = scanner.value();
    if (!scanner.nextField('payload')) return null;
    const parsed = this.#parseSchema(schema);
    const bytes = Buffer.from(text.slice(0, scanner.at), 'utf8');
    this.#remember(topic, { bytes, characters: scanner.at, schema: parsed, located: { at: bytes.length, schema: parsed } });
    return wrapped(scanner, parsed);
  }

  /** The two parts in the other order, or without a schema in its place. A row may have columns of these names. */
  #openReversed(text: string): OpenDocument<Schema> | null {
    if (!/^\s*\{\s*"(?:schema|payload)"/.test(text)) return null;
    const scanner = new JsonScanner(text);
    const names: string[] = [];
    let schema: ExactJson | undefined;
    let payloadAt = -1;
    scanner.fields((name) => {
      names.push(name);
      if (name === 'schema') {
        schema = scanner.value();
        return;
      }
      scanner.peek();
      if (name === 'payload') payloadAt = scanner.at;
      scanner.skip();
    });
    scanner.end();
    if (names.length !== 2 || payloadAt < 0 || !(schema === null || isJsonObject(schema))) return null;
    const parsed = schema === null ? null : this.#parseSchema(schema);
    return { schema: parsed, cursor: new JsonScanner(text, payloadAt), finish: () => undefined };
  }

  #namesOf(topic: string): string[] {
    let names = this.#names.get(topic);
    if (names === undefined) {
      names = [];
      if (this.#names.size >= MAX_TOPICS) this.#names.clear();
      this.#names.set(topic, names);
    }
    return names;
  }

  #remember(topic: string, prefix: KnownPrefix<Schema>): void {
    const known = this.#prefixes.get(topic) ?? [];
    known.unshift(prefix);
    known.length = Math.min(known.length, SCHEMAS_PER_TOPIC);
    if (this.#prefixes.size >= MAX_TOPICS) this.#prefixes.clear();
    this.#prefixes.set(topic, known);
  }
}

/** @param before characters that stand before these bytes */
function textOf(bytes: Buffer, before: number): string {
  const text = bytes.toString('utf8');
  // Only where a replacement stands can the bytes have been wrong.
  if (text.includes('\uFFFD') && !isUtf8(bytes)) {
    throw new LockstepError('not_json', `not JSON: the bytes are not UTF-8 (after character ${before + text.indexOf('\uFFFD')})`);
  }
  return text;
}

function wrapped<Schema>(scanner: JsonScanner, schema: Schema | null): OpenDocument<Schema> {
  return {
    schema,
    cursor: scanner,
    finish: () => {
      scanner.closeObject();
      scanner.end();
    },
  };
}

function bare<Schema>(scanner: JsonScanner): OpenDocument<Schema> {
  return {
    schema: null,
    cursor: scanner,
    finish: () => {
      scanner.end();
    },
  };
}
