import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Client } from './client.ts';

/** Well over the delay at which requests are refused. */
const BLOCK_MS = 1_600;
/** The service looks at the delay once a second; so many blocked turns cover a look however they fall. */
const TURNS = 4;

function block(durationMs: number): void {
  const end = process.hrtime.bigint() + BigInt(durationMs) * 1_000_000n;
  while (process.hrtime.bigint() < end);
}

it('refuses /v1 while the event loop is overloaded, but neither probes, nor the scrape, nor the gate', async () => {
  const client = await Client.open();
  try {
    let refused = null;
    for (let turn = 0; turn < TURNS && refused === null; turn++) {
      block(BLOCK_MS);
      await sleep(0);
      const response = await client.get('/v1/summary');
      if (response.statusCode === 503) refused = response;
    }
    expect(refused?.json()).toMatchObject({ status: 503, code: 'overloaded' });
    expect(refused?.headers['retry-after']).toBe('5');
    for (const url of ['/healthz', '/readyz', '/metrics', '/v1/gate']) expect((await client.get(url)).statusCode, url).toBe(200);
  } finally {
    await client.close();
  }
}, 60_000);
