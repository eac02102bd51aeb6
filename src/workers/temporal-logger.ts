import { DefaultLogger, Runtime, type LogLevel } from '@temporalio/worker';

/** Takes what Temporal's SDK says: the level, one sentence, and fields. */
export type TemporalLog = (
  level: LogLevel,
  message: string,
  fields: { readonly [name: string]: unknown },
) => void;

/** Sends the SDK's own warnings and errors where the worker's log goes. Once per process, before anything else of the SDK. */
export function installTemporalLogger(log: TemporalLog): void {
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => log(level, message, { ...meta }));
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'WARN' } } });
}
