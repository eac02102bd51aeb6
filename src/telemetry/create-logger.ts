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
    serializers: { err: readError, error: readError },
    redact: { paths: ['password', 'token', 'secret', 'apiKey', 'authorization'], censor: '[hidden]' },
  };
  return pino(options, { write });
}

/** An error as JSON has it: its code where it has one, what it says with its causes, where it was thrown. Anything else as it is. */
function readError(error: unknown): unknown {
  // One that comes from the sandbox is not an instance of this realm's Error.
  if (!isErrorLike(error)) return error;
  const { name, type, stack } = error;
  const messages: string[] = [];
  let cause: unknown = error;
  for (let depth = 0; depth < CAUSES && isErrorLike(cause); depth++) {
    // A wrapper often repeats what it wraps.
    if (!messages.includes(cause.message)) messages.push(cause.message);
    cause = cause.cause;
  }
  // On its way out of the sandbox an error keeps neither its code nor its class: then its stack alone tells.
  const kind = typeof type === 'string' && type !== '' ? type : name;
  return {
    ...(typeof kind === 'string' && kind !== 'Error' ? { type: kind } : {}),
    message: messages.join(': '),
    ...(typeof stack === 'string' ? { stack } : {}),
  };
}

const CAUSES = 10;

interface ErrorLike {
  readonly message: string;
  readonly name?: unknown;
  readonly type?: unknown;
  readonly stack?: unknown;
  readonly cause?: unknown;
}

function isErrorLike(value: unknown): value is ErrorLike {
  return (
    typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string'
  );
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
    ([name, value]) =>
      `${name}=${typeof value === 'string' ? value : JSON.stringify(name === 'error' ? saidBy(value) : value)}`,
  );
  const said = [clock, String(level).toUpperCase().padEnd(5), String(msg ?? ''), ...fields].filter(
    (part) => part !== '',
  );
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : '';
  return `${said.join(' ')}${stack}\n`;
}

/** Of an error that is one field of several, people see what it says. */
function saidBy(error: unknown): unknown {
  if (!isErrorLike(error)) return error;
  return typeof error.type === 'string' ? `${error.type}: ${error.message}` : error.message;
}
