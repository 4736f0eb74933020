import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Drift } from '../../../src/domain/drift.ts';
import type { DriftFilter, Page } from '../../../src/http/ports.ts';
import { HttpServer } from '../../../src/http/server.ts';
import { drift, MemoryView } from './view.ts';

/** A list without end, which counts how far it was read and can fail on the way. */
class EndlessView extends MemoryView {
  pages = 0;
  failAtPage = Number.POSITIVE_INFINITY;
  repeatCursor = false;

  override async listDrift(_filter: DriftFilter, _cursor: string | null, limit: number): Promise<Page<Drift>> {
    this.pages += 1;
    if (this.pages >= this.failAtPage) throw new Error('the state store is gone');
    return { items: Array.from({ length: limit }, (_value, index) => drift(`d${index}`)), nextCursor: this.repeatCursor ? 'same' : String(this.pages) };
  }
}

describe('an export over a real connection', () => {
  const view = () => new EndlessView();
  let endless: EndlessView;
  let server: HttpServer;
  let url: string;

  beforeEach(async () => {
    endless = view();
    server = new HttpServer(endless, { host: '127.0.0.1', port: 0, tokens: { read: [], operate: [] }, version: '1', nowMs: () => 0 });
    url = await server.start();
  });

  afterEach(async () => {
    await server.stop();
  });

  const open = async (signal?: AbortSignal) =>
    fetch(`${url}/v1/drift`, { headers: { accept: 'application/x-ndjson' }, ...(signal === undefined ? {} : { signal }) });

  it('is fetched only as fast as it is read, and no further once the client has gone', async () => {
    const controller = new AbortController();
    const response = await open(controller.signal);
    const reader = response.body?.getReader();
    await reader?.read();
    controller.abort();
    await expect(reader?.read()).rejects.toThrow();
    await server.stop();
    const pages = endless.pages;
    expect(pages).toBeLessThan(100);
    await new Promise((resolve) => setImmediate(resolve));
    expect(endless.pages).toBe(pages);
  });

  it('breaks off when a later page fails, so that no one takes a part for the whole', async () => {
    endless.failAtPage = 3;
    const response = await open();
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  it('breaks off when the list does not advance', async () => {
    endless.repeatCursor = true;
    await expect((await open()).text()).rejects.toThrow();
    expect(endless.pages).toBe(2);
  });
});
