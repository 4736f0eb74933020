import { isUtf8 } from 'node:buffer';
import { LockstepError } from '../../domain/errors.ts';
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
  readonly schema: Schema | null;
}

/**
 * Opens Kafka Connect JSON documents, `{"schema":…,"payload":…}` or bare. The
 * schema is the same in message after message: it is compared as bytes with those
 * seen last on the topic, and parsed only when it is new.
 */
export class DocumentReader<Schema> {
  readonly #parseSchema: (schema: ExactJson) => Schema | null;
  readonly #prefixes = new Map<string, KnownPrefix<Schema>[]>();

  constructor(parseSchema: (schema: ExactJson) => Schema | null) {
    this.#parseSchema = parseSchema;
  }

  /** Throws `not_json`, or what parsing the schema throws. */
  open(topic: string, bytes: Buffer): OpenDocument<Schema> {
    if (!isUtf8(bytes)) throw new LockstepError('not_json', 'not JSON: the bytes are not UTF-8');
    const known = this.#prefixes.get(topic);
    if (known !== undefined) {
      for (const prefix of known) {
        const { length } = prefix.bytes;
        if (bytes.length > length && prefix.bytes.compare(bytes, 0, length) === 0) {
          return wrapped(new JsonScanner(bytes.toString('utf8', length)), prefix.schema);
        }
      }
    }
    const text = bytes.toString('utf8');
    return this.#openWrapped(topic, text) ?? bare(text);
  }

  #openWrapped(topic: string, text: string): OpenDocument<Schema> | null {
    if (!/^\s*\{\s*"(?:schema|payload)"/.test(text)) return null;
    const scanner = new JsonScanner(text);
    let schema: ExactJson | undefined;
    let payloadAt = -1;
    let schemaFirst = false;
    let others = false;
    scanner.fields((name) => {
      if (name === 'schema') {
        schema = scanner.value();
      } else if (name === 'payload') {
        scanner.peek();
        payloadAt = scanner.at;
        schemaFirst = schema !== undefined;
        scanner.skip();
      } else {
        others = true;
        scanner.skip();
      }
    });
    scanner.end();
    // A row may have columns of these names: a schema is an object or null.
    if (others || payloadAt < 0 || schema === undefined || typeof schema !== 'object') return null;
    const parsed = schema === null ? null : this.#parseSchema(schema);
    if (!schemaFirst) {
      return { schema: parsed, cursor: new JsonScanner(text, payloadAt), finish: () => undefined };
    }
    this.#remember(topic, { bytes: Buffer.from(text.slice(0, payloadAt), 'utf8'), schema: parsed });
    return wrapped(new JsonScanner(text, payloadAt), parsed);
  }

  #remember(topic: string, prefix: KnownPrefix<Schema>): void {
    const known = this.#prefixes.get(topic) ?? [];
    known.unshift(prefix);
    known.length = Math.min(known.length, SCHEMAS_PER_TOPIC);
    if (this.#prefixes.size >= MAX_TOPICS) this.#prefixes.clear();
    this.#prefixes.set(topic, known);
  }
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

function bare<Schema>(text: string): OpenDocument<Schema> {
  const scanner = new JsonScanner(text);
  return {
    schema: null,
    cursor: scanner,
    finish: () => {
      scanner.end();
    },
  };
}

