import { Validator } from '@seriousme/openapi-schema-validator';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LockstepError } from '../../../src/domain/errors.ts';
import { NOW_MS, tableStatus } from '../metrics/summary.ts';
import { Client } from './client.ts';
import type { RetryOutcome } from '../../../src/http/ports.ts';
import { deadLetter, drift, sweep } from './view.ts';

const NDJSON = { accept: 'application/x-ndjson' };

let client: Client;

beforeEach(async () => {
  client = await Client.open();
});

afterEach(async () => {
  await client.close();
});

describe('OpenAPI', () => {
  it('is a valid 3.1 document that names every route', async () => {
    const response = await client.app.inject('/documentation/json');
    const document = response.json<{ openapi: string; paths: Record<string, object>; components: { schemas: Record<string, unknown> } }>();
    const result = await new Validator().validate(document);
    expect(result.errors ?? [], JSON.stringify(result.errors)).toEqual([]);
    expect(result.valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
    expect(Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)).toSorted()).toEqual([
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'GET /v1/dead-letters',
      'GET /v1/drift',
      'GET /v1/drift/{id}',
      'GET /v1/gate',
      'GET /v1/lag',
      'GET /v1/phase',
      'GET /v1/summary',
      'GET /v1/sweeps',
      'GET /v1/tables',
      'GET /v1/tables/{old}',
      'POST /v1/checks',
      'POST /v1/dead-letters/retry',
      'POST /v1/dead-letters/{id}/discharge',
      'POST /v1/dead-letters/{id}/retry',
      'POST /v1/drift/{id}/ignore',
      'POST /v1/drift/{id}/recheck',
      'POST /v1/sweeps',
      'POST /v1/sweeps/{id}/cancel',
    ]);
    expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(['Summary', 'Drift', 'Gate', 'Problem', 'Sweep', 'Table']));
  });

  it('is shown at /documentation', async () => {
    const response = await client.app.inject('/documentation/');
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toContain('text/html');
  });
});

describe('health', () => {
  it('lives, is ready, or says why not', async () => {
    expect((await client.get('/healthz')).json()).toEqual({ status: 'live' });
    expect((await client.get('/readyz')).json()).toEqual({ ready: true, reasons: [] });
    client.view.ready = false;
    const response = await client.get('/readyz');
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({ ready: false, reasons: ['the state store does not answer'] });
  });

  it('passes the metrics on as they are', async () => {
    const response = await client.get('/metrics');
    expect(response.body).toBe('# HELP lockstep_phase x\n');
    expect(response.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

describe('status', () => {
  it('sums the migration up', async () => {
    const body = (await client.get('/v1/summary')).json();
    expect(body).toMatchObject({
      migration: 'payments',
      phase: 'canary',
      primary: 'old',
      verified_through: new Date(NOW_MS - 2_500).toISOString(),
      verified_lag_ms: 2_500,
      open_drift: 3,
      pipeline: [{ finding: 'sink_stopped', since: new Date(NOW_MS - 30_000).toISOString() }],
      gate: { verdict: 'fail', action: 'rollback', reasons: [{ code: 'open_drift', observed: 3, limit: 0 }] },
      clock_skew_ms: { old: { offset_ms: 12, bound_ms: 1 }, new: null },
    });
    expect(body.tables[0]).toMatchObject({ table: 'public.payments', drift: 3, rows: { old: 120, new: 119 }, row_count_delta: -1, lag_p99_ms: 120, pending: 3 });
  });

  it('shows one table, or 404', async () => {
    const body = (await client.get('/v1/tables/public.payments')).json();
    expect(body).toMatchObject({ new_table: 'billing.payments', drift_by_kind: { different: 2, missing: 1 }, sweep: { progress_ratio: 0.25, rows_per_second: 250_000.5, eta_ms: 90_000 }, lag: { p99_ms: 120 } });
    const missing = await client.get('/v1/tables/public.nothing');
    expect(missing.statusCode).toBe(404);
    expect(missing.json()).toMatchObject({ code: 'unknown_table', instance: '/v1/tables/public.nothing', type: 'urn:lockstep:problem:unknown_table' });
  });

  it('finds a table whose name needs percent-encoding', async () => {
    const name = 'public.Größe / "x"';
    client.view.tables.push(tableStatus({ table: name }));
    expect((await client.get(`/v1/tables/${encodeURIComponent(name)}`)).json()).toMatchObject({ table: name });
  });

  it('pages through the tables', async () => {
    const first = (await client.get('/v1/tables?limit=1')).json();
    expect(first.items.map((one: { table: string }) => one.table)).toEqual(['public.payments']);
    const second = (await client.get(`/v1/tables?limit=1&cursor=${first.next_cursor}`)).json();
    expect(second.items.map((one: { table: string }) => one.table)).toEqual(['public.orders']);
    expect(second.next_cursor).toBeNull();
    expect((await client.get('/v1/tables?cursor=nonsense')).json()).toMatchObject({ code: 'bad_cursor', status: 400 });
  });

  it('gives lag over a window', async () => {
    const { items } = (await client.get('/v1/lag?window=10m')).json();
    expect(items[0]).toMatchObject({ table: 'public.payments', window_ms: 600_000, budget_ms: 5_000, error_budget_remaining_ratio: 0.5, burn_rates: { '5m': 0, '6h': null } });
    for (const window of ['1', '0s', '31d', 'x', '1w']) expect((await client.get(`/v1/lag?window=${window}`)).statusCode, window).toBe(400);
  });

  it('pages through lag', async () => {
    const first = (await client.get('/v1/lag?window=10m&limit=1')).json();
    expect(first.items.map((one: { table: string }) => one.table)).toEqual(['public.payments']);
    const second = (await client.get(`/v1/lag?window=10m&limit=1&cursor=${first.next_cursor}`)).json();
    expect(second).toMatchObject({ items: [{ table: 'public.orders', window_ms: 600_000 }], next_cursor: null });
    expect((await client.get('/v1/lag', NDJSON)).body.trimEnd().split('\n')).toHaveLength(2);
    expect((await client.get('/v1/lag?cursor=nonsense')).json()).toMatchObject({ code: 'bad_cursor', status: 400 });
    for (const query of ['limit=0', 'limit=501', 'limit=x', 'cursor=']) expect((await client.get(`/v1/lag?${query}`)).statusCode, query).toBe(400);
  });

  it('gives the phase', async () => {
    expect((await client.get('/v1/phase')).json()).toMatchObject({ migration: 'payments', phase: 'canary', primary: 'old', gate: { verdict: 'fail' } });
  });
});

describe('drift', () => {
  it('lists with every filter', async () => {
    client.view.drifts = [drift('d1'), drift('d2', { kind: 'missing', new: null, newHash: null, position: null, cause: null })];
    const key = encodeURIComponent('{"id":9007199254740993}');
    const query = `table=public.payments&kind=missing&status=open&cause=precision_lost&found_by=sweep&min_age_s=1.5&since=2026-01-02T03:04:05.678Z&key=${key}`;
    const body = (await client.get(`/v1/drift?${query}`)).json();
    expect(body.items.map((one: { id: string }) => one.id)).toEqual(['d2']);
    expect(client.view.filters).toEqual([
      {
        table: 'public.payments',
        kind: 'missing',
        status: 'open',
        causeCode: 'precision_lost',
        foundBy: 'sweep',
        minAgeMs: 1_500,
        sinceMs: Date.parse('2026-01-02T03:04:05.678Z'),
        key: { id: '9007199254740993' },
      },
    ]);
  });

  it('groups by cause, with the other filters', async () => {
    client.view.drifts = [drift('d1'), drift('d2'), drift('d3', { kind: 'missing', new: null, newHash: null, cause: null, columnCauses: {} })];
    const body = (await client.get('/v1/drift?group=cause')).json();
    expect(body).toEqual({
      items: [
        {
          table: 'public.payments',
          column: 'amount',
          cause: { code: 'precision_lost', message: 'precision lost: cut to 1 digit after the point' },
          kind: 'different',
          rows: 2,
          first_seen_at: new Date(NOW_MS - 20_000).toISOString(),
          sample_ids: ['d1', 'd2'],
          sentence: 'public.payments.amount: 2 rows, precision lost: cut to 1 digit after the point',
        },
        {
          table: 'public.payments',
          column: null,
          cause: null,
          kind: 'missing',
          rows: 1,
          first_seen_at: new Date(NOW_MS - 20_000).toISOString(),
          sample_ids: ['d3'],
          sentence: 'public.payments: 1 row missing, no known cause',
        },
      ],
      next_cursor: null,
    });
    expect((await client.get('/v1/drift?group=cause&kind=missing&limit=1')).json().items).toHaveLength(1);
    expect(client.view.filters.at(-1)).toMatchObject({ kind: 'missing', table: null });
    expect((await client.get('/v1/drift?group=cause', NDJSON)).body.trimEnd().split('\n')).toHaveLength(2);
    expect((await client.get('/v1/drift')).json().items[0]).toMatchObject({ cause: { code: 'precision_lost' }, column_causes: { amount: 'precision_lost' } });
  });

  it.each(['group=odd', 'kind=odd', 'status=odd', 'limit=0', 'limit=501', 'limit=x', 'since=yesterday', 'min_age_s=-1', 'unknown=1', 'key=5', 'key={}', 'key={"id":null}', 'key={"id":[1]}', 'key={', 'key={"__proto__":1}'])(
    'refuses ?%s',
    async (query) => {
      const response = await client.get(`/v1/drift?${query.replace(/=(.*)/, (_all, value: string) => `=${encodeURIComponent(value)}`)}`);
      expect(response.statusCode).toBe(400);
    },
  );

  it('shows one with its history and exact positions', async () => {
    client.view.drifts = [drift('d1')];
    expect((await client.get('/v1/drift/d1')).json()).toMatchObject({
      key: { id: '9007199254740993' },
      position: { offset: '9007199254740995', lsn: '123456789012345', tx_id: '771' },
      events: [{ event: 'confirmed', at: new Date(NOW_MS - 10_000).toISOString() }],
    });
    expect((await client.get('/v1/drift/none')).json()).toMatchObject({ status: 404, code: 'unknown_drift' });
  });

  it('rechecks and ignores, and audits both', async () => {
    client.view.drifts = [drift('d1')];
    expect((await client.post('/v1/drift/d1/recheck')).statusCode).toBe(202);
    expect((await client.post('/v1/drift/d1/ignore', { reason: 'a test row' })).json()).toMatchObject({ status: 'ignored' });
    expect(client.view.audited).toEqual([
      { atMs: NOW_MS, actor: 'loopback', remoteAddress: '127.0.0.1', action: 'drift.recheck', target: 'd1', reason: null },
      { atMs: NOW_MS, actor: 'loopback', remoteAddress: '127.0.0.1', action: 'drift.ignore', target: 'd1', reason: 'a test row' },
    ]);
    expect((await client.post('/v1/drift/none/recheck')).statusCode).toBe(404);
    expect((await client.post('/v1/drift/none/ignore', { reason: 'x' })).statusCode).toBe(404);
    for (const body of [{}, { reason: '' }, { reason: 'x', more: 1 }, [], { reason: true }]) {
      expect((await client.post('/v1/drift/d1/ignore', body)).statusCode, JSON.stringify(body)).toBe(400);
    }
  });

  it('streams everything as NDJSON, over all pages', async () => {
    client.view.drifts = Array.from({ length: 1_201 }, (_value, index) => drift(`d${index}`));
    const response = await client.get('/v1/drift', NDJSON);
    expect(response.headers['content-type']).toBe('application/x-ndjson');
    const ids = response.body.trimEnd().split('\n').map((line) => (JSON.parse(line) as { id: string }).id);
    expect(ids).toEqual(client.view.drifts.map((one) => one.id));
    const page = (await client.get('/v1/drift')).json();
    expect(page.items).toHaveLength(50);
    expect(page.next_cursor).toBe('50');
  });

  it('streams nothing as nothing and refuses before the stream begins', async () => {
    expect((await client.get('/v1/drift', NDJSON)).body).toBe('');
    expect((await client.get('/v1/drift?cursor=odd', NDJSON)).json()).toMatchObject({ code: 'bad_cursor' });
  });
});

describe('dead letters', () => {
  const id = 'shop.public.payments:0:9007199254740993';

  beforeEach(() => {
    client.view.deadLetters = [deadLetter('9007199254740993'), deadLetter('7', { table: 'public.orders' }), deadLetter('1', { dischargedAtMs: NOW_MS })];
  });

  it('lists what is not discharged, of all tables or of one, by page or as NDJSON', async () => {
    expect((await client.get('/v1/dead-letters?limit=1')).json()).toEqual({
      items: [
        {
          id,
          table: 'public.payments',
          topic: 'shop.public.payments',
          partition: 0,
          offset: '9007199254740993',
          reason: 'not_json',
          message: 'the value is not JSON',
          at: new Date(NOW_MS - 5_000).toISOString(),
          attempts: 0,
          last_attempt_at: null,
          discharged_at: null,
          discharged_by: null,
        },
      ],
      next_cursor: '1',
    });
    expect((await client.get('/v1/dead-letters?table=public.orders')).json()).toMatchObject({ items: [{ offset: '7' }], next_cursor: null });
    expect((await client.get('/v1/dead-letters', NDJSON)).body.trimEnd().split('\n')).toHaveLength(2);
    for (const query of ['limit=501', 'topic=t', 'cursor=odd']) expect((await client.get(`/v1/dead-letters?${query}`)).statusCode, query).toBe(400);
  });

  it('discharges one with a reason, as often as asked, and audits it', async () => {
    for (const reason of ['the producer is corrected', 'once more']) {
      const response = await client.post(`/v1/dead-letters/${id}/discharge`, { reason });
      expect(response.json()).toMatchObject({ id, discharged_at: new Date(NOW_MS).toISOString() });
    }
    expect((await client.get('/v1/dead-letters')).json().items).toHaveLength(1);
    const entry = { atMs: NOW_MS, actor: 'loopback', remoteAddress: '127.0.0.1', action: 'dead_letter.discharge', target: id };
    expect(client.view.audited).toEqual([
      { ...entry, reason: 'the producer is corrected' },
      { ...entry, reason: 'once more' },
    ]);
    expect((await client.post('/v1/dead-letters/t:0:1/discharge', { reason: 'x' })).json()).toMatchObject({ status: 404, code: 'unknown_dead_letter' });
    for (const body of [undefined, {}, { reason: '' }, { reason: 'x', more: 1 }]) {
      expect((await client.post(`/v1/dead-letters/${id}/discharge`, body)).statusCode, JSON.stringify(body)).toBe(400);
    }
  });

  it('retries one, and audits it', async () => {
    const response = await client.post(`/v1/dead-letters/${id}/retry`);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ id, discharged_by: 'retry', discharged_at: new Date(NOW_MS).toISOString() });
    expect(client.view.audited).toMatchObject([{ action: 'dead_letter.retry', target: id, reason: null }]);
    expect((await client.post('/v1/dead-letters/t:0:1/retry')).json()).toMatchObject({ status: 404, code: 'unknown_dead_letter' });
  });

  it.each<[RetryOutcome, number, string]>([
    [{ kind: 'undecodable', reason: 'not_json', message: 'it ends at byte 3' }, 422, 'still_undecodable'],
    [{ kind: 'gone', message: 'the topic holds it no more' }, 409, 'record_gone'],
    [{ kind: 'not_retryable', message: 'sweep the table' }, 409, 'not_retryable'],
    [{ kind: 'already_discharged' }, 409, 'already_discharged'],
    [{ kind: 'under_way' }, 409, 'retry_under_way'],
  ])('says why a retry came to nothing: %o', async (outcome, status, code) => {
    client.view.retryOutcome = outcome;
    const problem = (await client.post(`/v1/dead-letters/${id}/retry`)).json<{ detail: string }>();
    expect(problem).toMatchObject({ status, code });
    if ('message' in outcome) expect(problem.detail).toContain(outcome.message);
  });

  it('retries several, all or a selection, and counts what came of them', async () => {
    const counts = { retried: 3, undecodable: 2, gone: 1, not_retryable: 0, more: true };
    expect((await client.post('/v1/dead-letters/retry')).json()).toEqual(counts);
    expect((await client.post('/v1/dead-letters/retry', { table: 'public.payments', topic: 't', reason: 'not_json', limit: 7 })).json()).toEqual(counts);
    expect(client.view.selections).toEqual([{ limit: 50 }, { table: 'public.payments', topic: 't', reason: 'not_json', limit: 7 }]);
    expect(client.view.audited.map(({ action, target }) => [action, target])).toEqual([
      ['dead_letter.retry', '{"limit":50}'],
      ['dead_letter.retry', '{"table":"public.payments","topic":"t","reason":"not_json","limit":7}'],
    ]);
    for (const body of [{ limit: 0 }, { limit: 501 }, { offset: '1' }, { table: '' }]) {
      expect((await client.post('/v1/dead-letters/retry', body)).statusCode, JSON.stringify(body)).toBe(400);
    }
  });
});

describe('checks', () => {
  it('takes keys exactly and gives a result for each', async () => {
    const response = await client.send({
      method: 'POST',
      url: '/v1/checks',
      headers: { 'content-type': 'application/json' },
      payload: '{"table":"public.payments","keys":[{"id":9007199254740993},{"id":1.50},{"id":"a","live":true}]}',
    });
    expect(response.json().results).toHaveLength(3);
    expect(client.view.checked[0]?.keys).toEqual([{ id: '9007199254740993' }, { id: '1.50' }, { id: 'a', live: true }]);
  });

  it.each<[string, unknown, number, string]>([
    ['an unknown table', { table: 'nothing', keys: [{ id: 1 }] }, 404, 'unknown_table'],
    ['a key that is not one', { table: 'public.payments', keys: [{ no: 1 }] }, 400, 'bad_key'],
    ['no keys', { table: 'public.payments', keys: [] }, 400, 'bad_request'],
    ['an empty key', { table: 'public.payments', keys: [{}] }, 400, 'bad_request'],
    ['a null in a key', { table: 'public.payments', keys: [{ id: null }] }, 400, 'bad_request'],
    ['too many keys', { table: 'public.payments', keys: Array.from({ length: 501 }, () => ({ id: 1 })) }, 400, 'bad_request'],
    ['a body that is too large', { table: 'x'.repeat(1_100_000), keys: [{ id: 1 }] }, 413, 'body_too_large'],
  ])('refuses %s', async (_name, body, status, code) => {
    const response = await client.post('/v1/checks', body);
    expect(response.json()).toMatchObject({ status, code });
  });

  it.each<[string, string, string, number]>([
    ['broken JSON', 'application/json', '{"table":', 400],
    ['a prototype', 'application/json', '{"__proto__":{"x":1},"table":"public.payments","keys":[{"id":1}]}', 400],
    ['another media type', 'text/plain', 'hello', 415],
    ['no body', 'application/json', '', 400],
  ])('refuses %s', async (_name, type, payload, status) => {
    const response = await client.send({ method: 'POST', url: '/v1/checks', headers: { 'content-type': type }, payload });
    expect(response.statusCode).toBe(status);
  });
});

describe('sweeps', () => {
  it('starts one, of all tables or of some, and one at a time', async () => {
    const started = await client.post('/v1/sweeps');
    expect(started.statusCode).toBe(202);
    expect(started.json()).toMatchObject({ id: 's1', status: 'running', tables: [{ rows: { old: 30, new: 29 }, strategy_reason: 'the servers differ' }] });
    expect((await client.post('/v1/sweeps', { tables: ['public.orders'] })).json()).toMatchObject({ status: 409, code: 'sweep_running' });
    expect((await client.post('/v1/sweeps', { tables: ['nothing'] })).json()).toMatchObject({ status: 404, code: 'unknown_table' });
    for (const body of [{ tables: [] }, { tables: 'public.orders' }, { table: [] }]) expect((await client.post('/v1/sweeps', body)).statusCode).toBe(400);
    expect(client.view.audited.map((entry) => [entry.action, entry.target])).toEqual([
      ['sweep.start', 'all tables'],
      ['sweep.start', 'public.orders'],
      ['sweep.start', 'nothing'],
    ]);
  });

  it('lists and cancels', async () => {
    client.view.sweeps = [sweep('s2'), sweep('s1', { status: 'done', endedAtMs: NOW_MS })];
    expect((await client.get('/v1/sweeps?limit=1')).json()).toMatchObject({ items: [{ id: 's2', ended_at: null }], next_cursor: '1' });
    expect((await client.get('/v1/sweeps', NDJSON)).body.trimEnd().split('\n')).toHaveLength(2);
    expect((await client.post('/v1/sweeps/s2/cancel')).json()).toMatchObject({ status: 'cancelled' });
    expect((await client.post('/v1/sweeps/s9/cancel')).json()).toMatchObject({ code: 'unknown_sweep' });
  });
});

describe('gate', () => {
  it('answers 200 with the verdict, whatever it is', async () => {
    const response = await client.get('/v1/gate');
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({
      verdict: 'fail',
      action: 'rollback',
      phase: 'canary',
      reasons: [{ code: 'open_drift', severity: 'fail', table: 'public.payments', message: '3 row(s) drift; 0 allowed', observed: 3, limit: 0 }],
      evaluated_at: new Date(NOW_MS).toISOString(),
    });
    expect((await client.get('/v1/gate?phase=runway')).json()).toMatchObject({ phase: 'runway' });
    expect((await client.get('/v1/gate?phase=odd')).statusCode).toBe(400);
  });

  it('is unknown and holds when its evidence is out of reach', async () => {
    client.view.failure = new Error('connect ECONNREFUSED 10.0.0.1:5432');
    const response = await client.get('/v1/gate?phase=canary');
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ verdict: 'unknown', action: 'hold', phase: 'canary', reasons: [{ code: 'evaluation_failed' }] });
    expect(response.body).not.toContain('ECONNREFUSED');
    expect((await client.get('/v1/gate')).json()).toMatchObject({ verdict: 'unknown', phase: 'shadow' });
  });
});

describe('problems', () => {
  it('does not tell what went wrong inside', async () => {
    client.view.failure = new Error('password authentication failed for user "boss" at 10.0.0.1');
    const response = await client.get('/v1/summary');
    expect(response.statusCode).toBe(500);
    expect(response.body).not.toMatch(/boss|10\.0\.0\.1|password/);
    expect(response.json()).toMatchObject({ title: 'Internal Server Error', status: 500, code: 'internal' });
  });

  it('says 503 and the code where trying again can help, and never the message', async () => {
    client.view.failure = new LockstepError('state_unreachable', 'secret host', { retry: 'retry' });
    const response = await client.get('/v1/summary');
    expect(response.json()).toMatchObject({ status: 503, code: 'state_unreachable' });
    expect(response.body).not.toContain('secret host');
    client.view.failure = new LockstepError('fenced', 'secret host');
    expect((await client.get('/v1/summary')).json()).toMatchObject({ status: 500, code: 'fenced' });
  });

  it('refuses a mutating call that cannot be audited', async () => {
    client.view.drifts = [drift('d1')];
    client.view.failure = new LockstepError('state_unreachable', 'gone', { retry: 'retry' });
    expect((await client.post('/v1/drift/d1/recheck')).statusCode).toBe(503);
  });

  it('knows no other routes, and leaves the query out of the instance', async () => {
    const response = await client.get('/v1/nothing?key=secret');
    expect(response.json()).toMatchObject({ status: 404, code: 'no_route', instance: '/v1/nothing' });
    expect((await client.send({ method: 'DELETE', url: '/v1/drift/d1' })).statusCode).toBe(404);
  });
});
