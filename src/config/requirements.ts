import type { Config } from './config.ts';
import { ConfigError } from './problems.ts';

/** @throws ConfigError where no events are configured: `run` needs them, `check` does not */
export function requireStream(config: Config): void {
  if (config.events !== null) return;
  throw new ConfigError([
    {
      where: null,
      path: 'events',
      message: 'missing; run needs a change stream: set events.kafka or events.postgres (check works without)',
    },
  ]);
}
