import pc from 'picocolors';

/** Colour functions that do nothing where colours are off. */
export type Colors = ReturnType<typeof pc.createColors>;

/** Where a command writes. */
export interface Terminal {
  /** `--json`: one document on stdout, everything else on stderr. */
  readonly json: boolean;
  /** A person watches: stdout is a terminal and `--json` is off. */
  readonly interactive: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly colors: Colors;
  /** The commands in a text as they are called here; `show`, `line` and `error` do it by themselves. */
  asCalled(text: string): string;
  /** The answer of a command: the document with `--json`, else the text. */
  show(document: unknown, text: () => string): void;
  /** A line beside the answer; on stderr with `--json`. */
  line(text?: string): void;
  /** Characters as they are, on stdout. */
  write(text: string): void;
  /** A line on stderr. */
  error(text: string): void;
}

/** The streams that a terminal stands on. */
export interface TerminalStreams {
  readonly stdout: {
    write(text: string): unknown;
    readonly isTTY?: boolean;
    readonly columns?: number;
    readonly rows?: number;
  };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly env: { readonly [name: string]: string | undefined };
}

/** A terminal over streams. Colours only on a terminal, and never with NO_COLOR, `--json` or TERM=dumb. */
export function createTerminal(
  streams: TerminalStreams,
  options: { readonly json: boolean; readonly asCalled?: (text: string) => string },
): Terminal {
  const { stdout, stderr, env } = streams;
  const { json, asCalled = (text: string) => text } = options;
  const tty = stdout.isTTY === true;
  const plain = isSet(env['NO_COLOR']) || env['TERM'] === 'dumb';
  const colors = pc.createColors(!json && !plain && (tty || isSet(env['FORCE_COLOR'])));
  const error = (text: string) => void stderr.write(`${asCalled(text)}\n`);
  return {
    json,
    interactive: tty && !json && env['TERM'] !== 'dumb',
    get columns() {
      return stdout.columns ?? 100;
    },
    get rows() {
      return stdout.rows ?? 24;
    },
    colors,
    asCalled,
    error,
    show: (document, text) =>
      void stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${asCalled(text())}\n`),
    line: (text = '') => (json ? error(text) : void stdout.write(`${asCalled(text)}\n`)),
    write: (text) => void stdout.write(text),
  };
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0';
}
