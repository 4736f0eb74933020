import { describe, expect, it } from 'vitest';
import { appliedOffset, sinksOf } from '../../../../src/events/kafka/sinks.ts';
import type { GroupOnTopics } from '../../../../src/events/kafka/sinks.ts';

function group(name: string, committed: Record<string, Record<number, bigint>>, assigned: string[] = []): GroupOnTopics {
  const byTopic = Object.entries(committed).map(
    ([topic, offsets]) => [topic, new Map(Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]))] as const,
  );
  return { group: name, committed: new Map(byTopic), assigned: new Set(assigned), members: 0 };
}

describe('the sink of a topic', () => {
  it('is a Connect group where there is one, else whoever reads the topic', () => {
    const groups = [group('analytics', { t: { 0: 9n } }), group('connect-sink', { t: { 0: 5n } }), group('connect-other', { u: { 0: 1n } }), group('app', { u: {} })];
    expect(sinksOf('t', groups).map((one) => one.group)).toEqual(['connect-sink']);
    expect(sinksOf('u', groups).map((one) => one.group)).toEqual(['connect-other']);
    expect(sinksOf('t', groups.slice(0, 1)).map((one) => one.group)).toEqual(['analytics']);
    expect(sinksOf('v', groups)).toEqual([]);
  });

  it('has applied what the slowest of several has', () => {
    const sinks = [group('connect-a', { t: { 0: 9n, 1: 4n } }), group('connect-b', { t: { 0: 5n } })];
    expect(appliedOffset('t', 0, sinks)).toBe(5n);
    expect(appliedOffset('t', 1, sinks)).toBe(4n);
    expect(appliedOffset('t', 2, sinks)).toBeUndefined();
  });

  it('has applied nothing where it is assigned the topic and has committed nothing', () => {
    const sinks = [group('connect-a', { t: { 0: 9n } }), group('connect-b', {}, ['t'])];
    expect(appliedOffset('t', 0, sinks)).toBe(0n);
    expect(appliedOffset('t', 1, sinks)).toBe(0n);
  });
});
