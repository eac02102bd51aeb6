import type { Project } from './context.js';
import type { Terminal } from './terminal.js';

/** What every command gets. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: { readonly [name: string]: string | undefined };
  readonly cwd: string;
  readonly nowMs: () => number;
  /** The project of the working directory, or of `--project`; opened once. @throws AnnealError InvalidConfig. */
  readonly openProject: () => Promise<Project>;
  /** Runs work whose signal is aborted by Ctrl-C or SIGTERM; a second Ctrl-C ends the program at once. */
  readonly interruptible: <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;
  /** Asks the person at the terminal a question that yes answers; absent where there is nobody to be asked. */
  readonly ask?: (question: string, signal: AbortSignal) => Promise<boolean>;
}

/** Options of all commands; each command reads its own. */
export interface CommandOptions {
  readonly json?: boolean;
  readonly repair?: boolean;
  readonly project?: string;
  readonly param?: readonly string[];
  readonly paramsFile?: string;
  readonly id?: string;
  readonly wait?: boolean;
  readonly remote?: boolean;
  readonly cache?: boolean;
  readonly refresh?: readonly string[];
  readonly verify?: string | boolean;
  readonly step?: string;
  readonly pipeline?: string;
  readonly state?: string;
  readonly limit?: string;
  readonly follow?: boolean;
  readonly reason?: string;
  readonly comment?: string;
  readonly by?: string;
  readonly alias?: string;
  readonly digest?: string;
  readonly key?: string;
  readonly set?: readonly string[];
  readonly at?: string;
  readonly mine?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly asOf?: string;
  readonly note?: string;
  readonly pools?: string;
  readonly exit?: boolean;
  readonly from?: string;
  readonly code?: string;
  readonly keepApprovals?: boolean;
  readonly budget?: string;
  readonly timeout?: string;
  readonly memory?: string;
  readonly pool?: string;
  readonly direction?: string;
  readonly after?: string;
  readonly year?: string | boolean;
  readonly keys?: string;
  readonly all?: boolean;
  readonly again?: boolean;
  readonly concurrency?: string;
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly cancel?: boolean;
  readonly retryFailed?: boolean;
  readonly sign?: boolean;
  readonly ramp?: string;
  readonly rollback?: boolean;
  readonly drain?: boolean;
  readonly build?: string;
  readonly to?: string;
  readonly force?: boolean;
  readonly since?: string;
  readonly histories?: string;
  readonly save?: string;
  readonly jobs?: boolean;
  readonly kubernetes?: boolean;
}

/** A command: its arguments in order, its options; answers with the exit code. */
export type Command = (
  context: CommandContext,
  args: readonly string[],
  options: CommandOptions,
) => Promise<number>;
