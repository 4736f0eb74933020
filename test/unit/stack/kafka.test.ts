import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { clusterId } from '../../stack/kafka.ts';

it("gives a cluster no id that Kafka's tools take for an option", () => {
  expect(clusterId(Buffer.alloc(16, 0xff))).toMatch(/^[\w][\w-]{21}$/u);
  expect(clusterId(Buffer.from([0xf8, ...randomBytes(15)]))).toMatch(/^[\w][\w-]{21}$/u);
});
