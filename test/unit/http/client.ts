import { Ajv2020 } from 'ajv/dist/2020.js';
import type { FormatsPlugin } from 'ajv-formats';
import addFormatsModule from 'ajv-formats';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { expect } from 'vitest';
import { buildServer } from '../../../src/http/server.ts';
import type { HttpOptions } from '../../../src/http/server.ts';
import { NOW_MS } from '../metrics/summary.ts';
import { MemoryView } from './view.ts';

interface OpenApi {
  readonly paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, unknown> }> }>>;
}

const addFormats = addFormatsModule as unknown as FormatsPlugin;

/** A server over a view in memory, and a client that holds every answer against the OpenAPI document. */
export class Client {
  readonly view = new MemoryView();
  readonly app: FastifyInstance;
  readonly document: OpenApi;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor(app: FastifyInstance, view: MemoryView, document: OpenApi) {
    this.app = app;
    this.view = view;
    this.document = document;
    addFormats(this.#ajv as never);
    this.#ajv.addSchema(document, 'openapi');
  }

  static async open(options: Partial<HttpOptions> = {}): Promise<Client> {
    const view = new MemoryView();
    const app = await buildServer(view, { host: '127.0.0.1', port: 0, tokens: { read: [], operate: [] }, version: '1.2.3', nowMs: () => NOW_MS, ...options });
    await app.ready();
    return new Client(app, view, app.swagger() as unknown as OpenApi);
  }

  async close(): Promise<void> {
    await this.app.close();
  }

  async get(url: string, headers: Record<string, string> = {}) {
    return this.send({ method: 'GET', url, headers });
  }

  async post(url: string, payload?: unknown, headers: Record<string, string> = {}) {
    return this.send({ method: 'POST', url, headers, ...(payload === undefined ? {} : { payload: payload as object }) });
  }

  async send(request: InjectOptions & { readonly method: string; readonly url: string }) {
    const response = await this.app.inject(request);
    this.#validate(request.method.toLowerCase(), request.url.split('?', 1)[0] as string, response);
    return response;
  }

  #validate(method: string, path: string, response: { statusCode: number; headers: Record<string, unknown>; body: string }): void {
    const type = String(response.headers['content-type']).split(';', 1)[0] as string;
    if (response.statusCode >= 400 && path !== '/readyz') expect(type, response.body).toBe('application/problem+json');
    const template = Object.keys(this.document.paths).find((one) => new RegExp(`^${one.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path) && this.document.paths[one]?.[method] !== undefined);
    if (template === undefined) return;
    const declared = this.document.paths[template]?.[method]?.responses[String(response.statusCode)];
    expect(declared, `${method} ${template} may answer ${response.statusCode}`).toBeDefined();
    expect(Object.keys(declared?.content ?? {}), `${method} ${template} ${response.statusCode}`).toContain(type);
    if (type === 'text/plain') return;
    const pointer = ['paths', template, method, 'responses', String(response.statusCode), 'content', type, 'schema']
      .map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/');
    const validate = this.#ajv.getSchema(`openapi#/${pointer}`);
    const bodies = type === 'application/x-ndjson' ? response.body.split('\n').filter((line) => line !== '') : [response.body];
    for (const body of bodies) {
      expect(validate, 'the schema is there').toBeDefined();
      const valid: unknown = validate?.(JSON.parse(body));
      expect(valid, `${body}\n${JSON.stringify(validate?.errors)}`).toBe(true);
    }
  }
}
