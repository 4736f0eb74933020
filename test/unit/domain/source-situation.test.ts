import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HEARTBEATS_GRACE_MS, IDLE_AFTER_MS, idleMs, SLOT_GRACE_MS, slotWalSituation, sourceSituation, type SlotFacts, type SourceFacts } from '../../../src/domain/source-situation.ts';

const MIB = 1_048_576n;

function slot(change: Partial<SlotFacts> = {}): SlotFacts {
  return { name: 'debezium', active: true, walStatus: 'reserved', retainedBytes: MIB, ...change };
}

function facts(change: Partial<SourceFacts> = {}): SourceFacts {
  return { slotName: null, slots: [slot()], unreadMs: 0, heartbeatAgeMs: 500, ...change };
}

const unread = { slots: [slot({ active: false })], unreadMs: 10_000 };

describe('what is wrong with the source', () => {
  it.each<[string, Partial<SourceFacts>, string | null]>([
    ['a slot that is read, with heartbeats', {}, null],
    ['a slot that is read, without heartbeats', { heartbeatAgeMs: null }, null],
    ['a restart of the connector', { slots: [slot({ active: false })], unreadMs: SLOT_GRACE_MS - 1, heartbeatAgeMs: 4_000 }, null],
    ['nobody reads the slot, no heartbeat since', { ...unread, heartbeatAgeMs: 10_500 }, 'source_connector_stopped'],
    ['nobody reads the slot, the last heartbeat was on its way', { ...unread, heartbeatAgeMs: 9_000 }, 'source_connector_stopped'],
    ['nobody reads the slot, and heartbeats tell nothing', { ...unread, heartbeatAgeMs: null }, 'source_connector_stopped'],
    ['nobody reads the slot, yet heartbeats go on', { ...unread, heartbeatAgeMs: 400 }, 'source_slot_inactive'],
    ['a paused connector: the slot is read, no heartbeats come', { heartbeatAgeMs: HEARTBEATS_GRACE_MS }, 'source_connector_stopped'],
    ['a dropped slot', { slots: [], unreadMs: SLOT_GRACE_MS, heartbeatAgeMs: null }, 'source_slot_missing'],
    ['a dropped slot, while heartbeats go on', { slots: [], unreadMs: 30_000, heartbeatAgeMs: 100 }, 'source_slot_missing'],
    ['a slot whose log is gone', { slots: [slot({ active: false, walStatus: 'lost', retainedBytes: null })], unreadMs: 0 }, 'source_slot_lost'],
    ['of two slots one is lost and one is read', { slots: [slot(), slot({ name: 'other', active: false, walStatus: 'lost' })] }, null],
  ])('%s: %s', (_name, change, expected) => {
    expect(sourceSituation(facts(change))?.finding ?? null).toBe(expected);
  });

  it('names the slot that is configured, says for how long, and the limit', () => {
    expect(sourceSituation(facts({ slotName: 'shop', slots: [], unreadMs: 4_200 }))).toMatchObject({ message: expect.stringContaining('shop') as unknown, observed: 4.2, limit: 3 });
  });
});

describe("a slot's log", () => {
  it('is said to grow past half of what the server allows, and until it is well below again', () => {
    const at = (mebibytes: bigint, standing: boolean): boolean => slotWalSituation([slot({ retainedBytes: mebibytes * MIB })], null, 100n * MIB, standing) !== null;
    expect([at(50n, false), at(51n, false), at(41n, true), at(40n, true)]).toEqual([false, true, true, false]);
  });

  it('has the limit that is configured, where the server has none', () => {
    expect(slotWalSituation([slot({ retainedBytes: 900n * MIB })], null, null, false)).toBeNull();
    expect(slotWalSituation([slot({ retainedBytes: 900n * MIB })], 800n * MIB, null, false)).toMatchObject({ observed: 943_718_400, limit: 838_860_800 });
  });

  it('is in danger whatever the limits are where the server says so, and lost is another matter', () => {
    expect(slotWalSituation([slot({ walStatus: 'unreserved' })], null, 1_000n * MIB, false)?.finding).toBe('slot_wal_growing');
    expect(slotWalSituation([slot({ walStatus: 'lost', retainedBytes: null })], 1n, 1n, true)).toBeNull();
  });
});

describe('an idle primary', () => {
  it('is known by a stream that is consumed past its newest change, and never by silence', () => {
    const second = 1_000_000n;
    fc.assert(
      fc.property(fc.bigInt(0n, 100n), fc.bigInt(0n, 100n), fc.bigInt(0n, 100n), (lastChange, consumed, now) => {
        const idle = idleMs({ lastChangeUs: lastChange * second, consumedThroughUs: consumed * second, nowUs: now * second });
        const known = now - consumed <= 30n && consumed - lastChange >= BigInt(IDLE_AFTER_MS / 1000);
        expect(idle).toBe(known ? Number(consumed - lastChange) * 1000 : null);
      }),
    );
    expect(idleMs({ lastChangeUs: 1n, consumedThroughUs: null, nowUs: 100n * second })).toBeNull();
    expect(idleMs({ lastChangeUs: null, consumedThroughUs: 90n * second, nowUs: 100n * second })).toBeNull();
  });
});
