import type { AnnealClient, RunReport } from '../client/index.js';
import type { LinkBases } from './run-links.js';
import { buildRunLinks } from './run-links.js';
import { createLiveTree } from './live-tree.js';
import { renderRunSummary, stepTimes } from './run-summary.js';
import type { Terminal } from './terminal.js';
import { EXIT } from './report-error.js';

/** How a run is followed on a terminal. */
export interface FollowOptions {
  readonly client: Pick<AnnealClient, 'watch'>;
  readonly terminal: Terminal;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** `false`: whoever follows sees to the worker itself. */
  readonly notices?: boolean;
  /** Gets the means to write a line above the tree. */
  readonly onTree?: (say: (text: string) => void) => void;
}

/** Draws a run until it has ended; `undefined` when the signal came first. The run itself is left alone. */
export async function followRun(runId: string, options: FollowOptions): Promise<RunReport | undefined> {
  const { client, terminal, nowMs, signal } = options;
  const tree = createLiveTree(terminal, nowMs);
  options.onTree?.((text) => tree.say(text));
  let last: RunReport | undefined;
  let notice: string | undefined;
  try {
    for await (const report of client.watch(runId, { signal })) {
      last = report;
      // A worker that is only just starting is no news.
      if (
        options.notices !== false &&
        report.notice !== undefined &&
        report.notice !== notice &&
        report.calls.length > 0
      )
        tree.say(report.notice);
      ({ notice } = report);
      tree.update(report);
    }
    return last;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    tree.stop();
  }
}

/** Says how a run ended: text, or one document with the status, links and seconds per step. */
export function showOutcome(
  report: RunReport,
  { terminal, bases }: { readonly terminal: Terminal; readonly bases: LinkBases },
): number {
  const links = buildRunLinks(report, bases);
  terminal.show({ ...report, links, steps: stepTimes(report) }, () =>
    renderRunSummary(report, { links, colors: terminal.colors }).join('\n'),
  );
  return exitCodeOf(report);
}

/** 0 for a run that did what it was told, also when that was "do not promote". */
export function exitCodeOf({ state }: Pick<RunReport, 'state'>): number {
  return state === 'completed' || state === 'not-promoted' ? EXIT.ok : EXIT.failed;
}
