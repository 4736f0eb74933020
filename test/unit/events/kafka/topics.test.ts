import { describe, expect, it } from 'vitest';
import { chooseTopics, nearestName } from '../../../../src/events/kafka/topics.ts';
import type { WantedTopic } from '../../../../src/events/kafka/topics.ts';

const want = (name: string, given?: string): WantedTopic => ({
  pairId: `public.${name}`,
  side: 'old',
  table: { schema: 'public', name },
  ...(given === undefined ? {} : { given }),
});
const choose = (wanted: WantedTopic[], names: string[]): string[] => chooseTopics(wanted, names, ['b:1']).map(({ topic }) => topic);

describe('the topic of a table', () => {
  it('is the one given, or the only one that ends in the table’s name', () => {
    expect(choose([want('t', 'any')], ['any', 'a.public.t'])).toEqual(['any']);
    expect(choose([want('t'), want('u')], ['a.public.t', 'a.public.u', 'a.other.t', 'xpublic.t', '__a.public.t'])).toEqual(['a.public.t', 'a.public.u']);
  });

  it('is not one that is given for another', () => {
    const wanted = [want('t'), { ...want('t', 'new.public.t'), side: 'new' } as const];
    expect(choose(wanted, ['old.public.t', 'new.public.t'])).toEqual(['old.public.t', 'new.public.t']);
  });

  it('may be missing: the error names the nearest', () => {
    expect(() => choose([want('t', 'shop.public.paymants')], ['shop.public.payments', 'shop.public.orders'])).toThrow(
      expect.objectContaining({ code: 'topic_missing', retry: 'final', message: expect.stringContaining('nearest: shop.public.payments') as unknown }),
    );
    expect(() => choose([want('t')], ['a.public.u'])).toThrow(
      expect.objectContaining({ code: 'topic_missing', message: 'no topic ends in .public.t; there are: a.public.u' }),
    );
  });

  it('may be missing where it is not needed', () => {
    expect(choose([{ ...want('t'), optional: true }, want('u')], ['a.public.u'])).toEqual(['a.public.u']);
    expect(choose([{ ...want('t'), optional: true }], ['a.public.t'])).toEqual(['a.public.t']);
    expect(() => choose([{ ...want('t', 'gone'), optional: true }], ['a.public.t'])).toThrow(expect.objectContaining({ code: 'topic_missing' }));
  });

  it('may be ambiguous: the error lists them', () => {
    expect(() => choose([want('t')], ['a.public.t', 'b.public.t'])).toThrow(
      expect.objectContaining({ code: 'topic_ambiguous', retry: 'final', message: expect.stringContaining('a.public.t, b.public.t') as unknown }),
    );
  });

  it('has no near name where all are far', () => {
    expect(nearestName('payments', ['zzz', 'orders-and-more'])).toBeNull();
    expect(nearestName('payments', ['payment', 'pay'])).toBe('payment');
  });
});
