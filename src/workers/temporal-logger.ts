import { DefaultLogger, Runtime, type LogLevel } from '@temporalio/worker';

/** Takes what Temporal's SDK says: the level, one sentence, and fields. */
export type TemporalLog = (
  level: LogLevel,
  message: string,
  fields: { readonly [name: string]: unknown },
) => void;

/**
 * Sends the SDK's own warnings and errors where the worker's log goes, and offers its metrics to Prometheus where an address is given. Once
 * per process, before anything else of the SDK.
 * @param metricsAddress such as `0.0.0.0:9464`.
 */
export function installTemporalLogger(log: TemporalLog, metricsAddress?: string): void {
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => {
    if (!BY_DESIGN.test(message)) log(level, message, { ...meta });
  });
  const metrics =
    metricsAddress === undefined ? {} : { metrics: { prometheus: { bindAddress: metricsAddress } } };
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'WARN' }, ...metrics } });
}

/** Some of our workers serve workflows only, some activities only. */
const BY_DESIGN = /^No (workflows|activities) registered, not polling for/;

/** Lets the SDK say nothing and leave signals alone, in a program that replays histories: what breaks is an answer there, not a fault. */
export function quietRuntime(): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
      shutdownSignals: [],
    });
  } catch {
    // Somebody in this process has made it before; it is made once.
  }
}
