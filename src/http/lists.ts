import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Page } from './ports.ts';

export const DEFAULT_LIMIT = 50;
/** Keeps one answer to a few MiB at most. */
export const MAX_LIMIT = 500;

const NDJSON = 'application/x-ndjson';

export interface ListQuery {
  readonly cursor?: string;
  readonly limit?: number;
}

/**
 * Answers with one page, or, to a client that accepts NDJSON, with every item
 * from the cursor on, one a line, fetched page by page as the client reads.
 */
export async function sendList<Item>(
  request: FastifyRequest,
  reply: FastifyReply,
  query: ListQuery,
  fetchPage: (cursor: string | null, limit: number) => Promise<Page<Item>>,
  toJson: (item: Item) => unknown,
): Promise<FastifyReply> {
  const cursor = query.cursor ?? null;
  reply.header('vary', 'accept');
  if (!wantsNdjson(request)) {
    const page = await fetchPage(cursor, query.limit ?? DEFAULT_LIMIT);
    return reply.type('application/json; charset=utf-8').send({ items: page.items.map(toJson), next_cursor: page.nextCursor });
  }
  // The first page comes before the headers, so that a refusal is still a problem and not a broken stream.
  const first = await fetchPage(cursor, MAX_LIMIT);
  return reply.type(NDJSON).send(Readable.from(lines(first, cursor, fetchPage, toJson), { objectMode: false, highWaterMark: 1 }));
}

async function* lines<Item>(
  first: Page<Item>,
  cursor: string | null,
  fetchPage: (cursor: string | null, limit: number) => Promise<Page<Item>>,
  toJson: (item: Item) => unknown,
): AsyncGenerator<string> {
  let page = first;
  let previous = cursor;
  for (;;) {
    if (page.items.length > 0) yield page.items.map((item) => `${JSON.stringify(toJson(item))}\n`).join('');
    const next = page.nextCursor;
    if (next === null) return;
    if (next === previous) throw new Error('the list does not advance');
    previous = next;
    page = await fetchPage(next, MAX_LIMIT);
  }
}

function wantsNdjson(request: FastifyRequest): boolean {
  return (request.headers.accept ?? '').split(',').some((range) => range.split(';', 1)[0]?.trim().toLowerCase() === NDJSON);
}
