import { LockstepError } from '../../domain/errors.ts';
import { isJsonObject, JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { SchemaId } from '../avro/framing.ts';
import { parseAvroSchema } from '../avro/schema.ts';
import type { AvroNames, AvroType } from '../avro/schema.ts';
import { parseExactJson } from '../debezium/json.ts';

/** Of one answer; a table of 1,600 columns takes about 1 MiB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** A registry that takes longer is as good as down. */
const REQUEST_TIMEOUT_MS = 3_000;
/** Schemas that one schema refers to, in all. */
const MAX_REFERENCES = 100;
/** Names in a URL's path below which Apicurio serves its APIs. */
const APICURIO_APIS = '/apis/';

export interface RegistryClientOptions {
  /** Base of the Confluent-compatible API; user and password in it are used as such. */
  readonly url: string;
  readonly username?: string | null;
  readonly password?: string | null;
}

/** Reads Avro schemas over the Confluent-compatible HTTP API (`GET /schemas/ids/{id}`). */
export class RegistryClient {
  /** Scheme, host and port: how errors name the registry. */
  readonly origin: string;
  readonly #base: string;
  readonly #headers: Record<string, string>;

  constructor(options: RegistryClientOptions) {
    const url = new URL(options.url);
    const username = options.username ?? decodeURIComponent(url.username);
    const password = options.password ?? decodeURIComponent(url.password);
    this.origin = url.origin;
    this.#base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    this.#headers = { accept: 'application/vnd.schemaregistry.v1+json, application/json' };
    if (username !== '' || password !== '') {
      this.#headers['authorization'] = `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
    }
  }

  /**
   * The schema with this id, and those it refers to.
   * Rejects with `registry_unreachable` (retry), `registry_refused`, `unknown_schema` or `bad_schema`.
   */
  async schema(id: SchemaId): Promise<AvroType> {
    const what = `schema ${id.id}`;
    if (id.kind === 'global') {
      const path = this.#base.indexOf(APICURIO_APIS);
      if (path < 0) throw unknownSchema(what, this.origin, 'its id is one of Apicurio’s own: events.kafka.registry.url must be an Apicurio address with /apis/ in it');
      const base = this.#base.slice(0, path);
      return this.#parse(what, await this.#get(`${base}${APICURIO_APIS}registry/v2/ids/globalIds/${id.id}`, what), new Map());
    }
    const answer = await this.#json(`${this.#base}/schemas/ids/${id.id}`, what);
    const names: AvroNames = new Map();
    await this.#references(answer, what, names, new Set());
    return this.#parse(what, schemaText(answer, what, this.origin), names);
  }

  async #references(answer: ExactJson, what: string, names: AvroNames, seen: Set<string>): Promise<void> {
    const references = isJsonObject(answer) ? answer['references'] : undefined;
    if (!Array.isArray(references)) return;
    for (const reference of references as readonly ExactJson[]) {
      if (!isJsonObject(reference) || typeof reference['subject'] !== 'string') continue;
      const version = reference['version'] instanceof JsonNumber ? reference['version'].text : 'latest';
      const path = `/subjects/${encodeURIComponent(reference['subject'])}/versions/${version}`;
      if (seen.has(path)) continue;
      if (seen.add(path).size > MAX_REFERENCES) throw badSchema(what, this.origin, 'it refers to too many others');
      const referred = await this.#json(`${this.#base}${path}`, what);
      await this.#references(referred, what, names, seen);
      this.#parse(what, schemaText(referred, what, this.origin), names);
    }
  }

  #parse(what: string, text: string, names: AvroNames): AvroType {
    try {
      return parseAvroSchema(parseExactJson(text), names);
    } catch (error) {
      throw badSchema(what, this.origin, error instanceof LockstepError ? error.message : 'it is no Avro schema');
    }
  }

  async #json(url: string, what: string): Promise<ExactJson> {
    const text = await this.#get(url, what);
    try {
      return parseExactJson(text);
    } catch {
      throw badSchema(what, this.origin, 'the answer is no JSON; is the URL that of the Confluent-compatible API?');
    }
  }

  async #get(url: string, what: string): Promise<string> {
    try {
      const response = await fetch(url, { headers: this.#headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
      if (response.ok) return await boundedText(response, what, this.origin);
      await response.body?.cancel();
      throw this.#refusal(response.status, what);
    } catch (error) {
      if (error instanceof LockstepError) throw error;
      throw new LockstepError('registry_unreachable', `the schema registry at ${this.origin} cannot be reached for ${what}: ${reasonOf(error)}`, {
        retry: 'retry',
        cause: error,
        about: { registry: this.origin },
        hint: 'check that the registry runs and that events.kafka.registry.url is right',
      });
    }
  }

  #refusal(status: number, what: string): LockstepError {
    if (status === 404) return unknownSchema(what, this.origin, 'it has none of that id');
    if (status === 401 || status === 403) {
      return new LockstepError('registry_refused', `the schema registry at ${this.origin} refused ${what} (HTTP ${status})`, {
        about: { registry: this.origin },
        hint: 'check events.kafka.registry.username and password',
      });
    }
    return new LockstepError('registry_unreachable', `the schema registry at ${this.origin} answered HTTP ${status} to ${what}`, {
      retry: 'retry',
      about: { registry: this.origin },
    });
  }
}

async function boundedText(response: Response, what: string, origin: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_ANSWER_BYTES) throw badSchema(what, origin, 'it is too large');
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function schemaText(answer: ExactJson, what: string, origin: string): string {
  if (!isJsonObject(answer) || typeof answer['schema'] !== 'string') {
    throw badSchema(what, origin, 'the answer has no schema; is the URL that of the Confluent-compatible API?');
  }
  const type = answer['schemaType'];
  if (typeof type === 'string' && type !== 'AVRO') throw badSchema(what, origin, `it is ${type}: only Avro can be read`);
  return answer['schema'];
}

function unknownSchema(what: string, origin: string, why: string): LockstepError {
  return new LockstepError('unknown_schema', `the schema registry at ${origin} does not know ${what}: ${why}`, { about: { registry: origin } });
}

function badSchema(what: string, origin: string, why: string): LockstepError {
  return new LockstepError('bad_schema', `${what} of the registry at ${origin} cannot be used: ${why}`, { about: { registry: origin } });
}

/** What undici hides in `cause`; never the URL, which may hold a password. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  if (error.name === 'TimeoutError') return `no answer within ${REQUEST_TIMEOUT_MS} ms`;
  const cause = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return error.name;
}
