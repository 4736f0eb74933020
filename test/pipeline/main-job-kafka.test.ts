import { describe, it } from 'vitest';
import { detectJava } from '../stack/java.ts';
import { mainJob } from './scenario/main-job.ts';

const java = detectJava();
if (java.ok) mainJob('kafka');
else {
  console.warn(`SKIPPED: the main job with Kafka cannot be tested here: ${java.reason}`);
  describe.skip('the main job, changes from kafka', () => {
    it('needs Java and Maven', () => undefined);
  });
}
