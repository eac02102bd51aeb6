import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { failureRow, isFailureCode, type FailureCode } from '../core/failures.js';
import type { Terminal } from './terminal.js';

/** Exit codes of the CLI. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** A command that was interrupted by Ctrl-C ends like a program that the signal killed. */
export const EXIT_INTERRUPTED = 130;

/** Code of the reason why work was aborted that the person at the terminal, or who runs it, has ended. */
export const INTERRUPTED = 'INTERRUPTED';

/** Where a report finds its settings and puts traces. */
export interface ReportSetting {
  readonly env: { readonly [name: string]: string | undefined };
  /** The project's folder for local state; undefined where no project was opened: the user's cache directory. */
  readonly traceDir: string | undefined;
}

/**
 * Says what went wrong, in one sentence, and answers with the exit code: 2 for what the user can correct in the command or the
 * configuration, 130 for one that was interrupted, else 1. Only an error that has no code is a bug; its trace goes to a file, or to the terminal with ANNEAL_DEBUG=1.
 */
export async function reportError(
  error: unknown,
  terminal: Terminal,
  { env, traceDir }: ReportSetting,
): Promise<number> {
  if (isInterruption(error)) {
    // What goes on without the command is said by who knows it.
    const said = readKnownError(error)?.message ?? 'Interrupted.';
    if (terminal.json) terminal.show({ interrupted: true, message: terminal.asCalled(said) }, () => '');
    else terminal.error(said);
    return EXIT_INTERRUPTED;
  }
  const debug = env['ANNEAL_DEBUG'] === '1';
  const known = readKnownError(error);
  const { code, message } = known ?? {
    code: 'Unknown' as const,
    message: await reportBug(error, { debug, env, traceDir }),
  };
  if (terminal.json) terminal.show({ error: { code, message: terminal.asCalled(message) } }, () => '');
  else terminal.error(`${terminal.colors.red(`${code}:`)} ${message}`);
  if (debug && error instanceof Error) terminal.error(String(error.stack));
  return known !== undefined && failureRow(code).kind === 'config' ? EXIT.usage : EXIT.failed;
}

/** Timers, questions and requests that were aborted say the reason as their cause. */
function isInterruption(error: unknown): boolean {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth += 1)
    if ('code' in one && one.code === INTERRUPTED) return true;
  return false;
}

function readKnownError(error: unknown): { code: FailureCode; message: string } | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  if (error.code === 'SETUP_FAILED') return { code: 'SetupFailed', message: error.message };
  return isFailureCode(error.code) ? { code: error.code, message: error.message } : undefined;
}

async function reportBug(
  error: unknown,
  { debug, env, traceDir }: ReportSetting & { readonly debug: boolean },
): Promise<string> {
  const text = error instanceof Error ? error.message : String(error);
  const said = `This should not have happened: ${text.replace(/\s+/g, ' ').replace(/\.$/, '')}.`;
  if (debug) return said;
  const trace = error instanceof Error ? `${error.stack}\n${String(error.cause ?? '')}\n` : `${text}\n`;
  try {
    const directory = traceDir ?? (await import('../local/user-cache.js')).userCacheDirectory({ ...env });
    await mkdir(directory, { recursive: true });
    const file = path.join(await mkdtemp(path.join(directory, 'anneal-error-')), 'trace.txt');
    await writeFile(file, trace, { mode: 0o600 });
    return `${said} It is a fault in Anneal; the trace is in ${file}.`;
  } catch {
    return `${said} It is a fault in Anneal; ANNEAL_DEBUG=1 shows the trace.`;
  }
}
