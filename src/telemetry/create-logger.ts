import { pino, type Logger } from 'pino';

/** Logger of workers and long commands. */
export type { Logger } from 'pino';

/** Where and how much is logged. */
export interface LoggerOptions {
  readonly destination: { write(text: string): unknown };
  /** Lines for people instead of JSON. Default: JSON. */
  readonly pretty?: boolean;
  /** Default `info`; the worker takes `LOG_LEVEL`. */
  readonly level?: string;
  /** Fields of every record. */
  readonly fields?: { readonly [name: string]: string | number };
}

const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** One flat record per event; on a terminal one line with time, level, message and fields. Secrets' usual names are left out. */
export function createLogger({
  destination,
  pretty = false,
  level = 'info',
  fields = {},
}: LoggerOptions): Logger {
  const write = pretty
    ? (line: string) => void destination.write(formatRecord(line))
    : (line: string) => void destination.write(line);
  const options = {
    level: LEVELS.includes(level) ? level : 'info',
    base: fields,
    timestamp: () => `,"time":"${new Date(Date.now()).toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: ['password', 'token', 'secret', 'apiKey', 'authorization'], censor: '[hidden]' },
  };
  return pino(options, { write });
}

/** `11:04:05 INFO  message  key=value` */
export function formatRecord(line: string): string {
  let record: { readonly [name: string]: unknown };
  try {
    record = JSON.parse(line) as { readonly [name: string]: unknown };
  } catch {
    return line;
  }
  const { time, level, msg, err, ...rest } = record;
  const clock = typeof time === 'string' ? time.slice(11, 19) : '';
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const said = [clock, String(level).toUpperCase().padEnd(5), String(msg ?? ''), ...fields].filter(
    (part) => part !== '',
  );
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : '';
  return `${said.join(' ')}${stack}\n`;
}
