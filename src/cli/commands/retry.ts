import type { RetryOptions } from '../../client/index.js';
import { shellWord } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { findBuild, shortBuild } from '../deployment-parts.js';
import { followRun, showOutcome } from '../follow-run.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { retriedText } from '../retried-text.js';
import { findStartingPerson } from '../starting-person.js';
import { warnOfWorker } from '../warn-of-worker.js';
import { readBudget } from './steer.js';
import { retryMany } from './retry-many.js';

/** `anneal retry RUN`, or `anneal retry --state failed --yes`: new runs that take up the finished work of ended ones. */
export const retry: Command = async (context, [runId], options) => {
  const project = await context.openProject();
  const client = await project.client();
  const how = {
    ...readHow(options),
    ...(options.budget === undefined ? {} : { budget: readBudget(options.budget) }),
    ...(await findStartingPerson(context, project.config, options)),
  };
  await warnOfWorker(project, context.terminal);
  if (runId === undefined) return await retryMany(context, client, { options, how });
  const started = await client.retry(runId, {
    ...how,
    ...(options.id === undefined ? {} : { runId: options.id }),
  });
  const { terminal, nowMs } = context;
  if (started.pinnedTo !== undefined)
    await sayPinned(project, terminal, { ...started, build: started.pinnedTo });
  if (options.wait !== true) {
    terminal.show(started, () => retriedText(started, terminal.colors));
    return EXIT.ok;
  }
  terminal.line(retriedText(started, terminal.colors));
  const report = await context.interruptible(
    async (signal) => await followRun(started.runId, { client, terminal, nowMs, signal }),
  );
  if (report) return showOutcome(report, { terminal, bases: await project.links() });
  terminal.show({ ...started, detached: true }, () => `\nStopped following; ${started.runId} goes on.`);
  return EXIT_INTERRUPTED;
};

/** A run on an older build waits for a worker of it: said, with the way out. */
async function sayPinned(
  project: Project,
  terminal: CommandContext['terminal'],
  { runId, retryOf, build }: { readonly runId: string; readonly retryOf: string; readonly build: string },
): Promise<void> {
  const inStore = project.config.builds === 'store';
  if (!inStore && (await project.stack.readCurrent()) === build) return;
  const isHere = await findBuild(project, build).then(
    () => true,
    () => false,
  );
  if (inStore && isHere) return;
  const other = `Or run it with the current code: anneal cancel ${shellWord(runId)}, then anneal retry ${shellWord(retryOf)} --code new`;
  terminal.error(
    terminal.colors.yellow(
      isHere
        ? `It waits for a worker of build ${shortBuild(build)}, which a worker that reads this machine's builds hosts within some seconds.`
        : `It waits for a worker of build ${shortBuild(build)}, which is not ${inStore ? 'in the store' : 'on this machine'}: it begins when a worker runs where that build is. ${other}`,
    ),
  );
}

function readHow({ from, code, keepApprovals }: CommandOptions): RetryOptions {
  if (code !== undefined && code !== 'same' && code !== 'new')
    throw new AnnealError('InvalidCommand', `--code is "${code}"; it must be same or new.`);
  return {
    ...(from === undefined ? {} : { from }),
    ...(code === undefined ? {} : { code }),
    ...(keepApprovals === true ? { keepApprovals } : {}),
  };
}
