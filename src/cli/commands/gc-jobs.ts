import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../../client/index.js';
import type { OrphanJob } from '../../workers/reap-jobs.js';
import type { Command, CommandContext } from '../command.js';
import { confirm } from '../confirm.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';

/** Between the two looks: a run that closes just now ends its Jobs itself. */
const BETWEEN_MS = 5_000;

/** `anneal gc --jobs`: shows the Jobs on Kubernetes that no run waits for, asks, and ends those that nobody waits for still. */
export const gcJobs: Command = async (context, _args, options) => {
  const project = await context.openProject();
  const { terminal } = context;
  const { openOrphanDesk } = await import('../../workers/reap-jobs.js');
  const { client } = await project.temporal();
  const { config } = project;
  const desk = await openOrphanDesk({ config, client, env: context.env });
  try {
    return await context.interruptible(async (signal) => {
      const found = await desk.look();
      const due = found.filter(({ why }) => why !== 'unknown');
      const dryRun = options.dryRun === true;
      const show = (ended: readonly string[] | null, said: string) =>
        terminal.show({ jobs: found.map(toDocument), dryRun, ended }, () => said);
      if (dryRun || due.length === 0) {
        show(null, renderFound(found, context));
        return EXIT.ok;
      }
      if (options.yes !== true) {
        if (!terminal.interactive || process.stdin.isTTY !== true) throw notAsked(found, context);
        terminal.line(renderFound(found, context));
        if (!(await confirm(`End ${count(due.length)}? [y/N] `, signal))) {
          terminal.line('Nothing was ended.');
          return EXIT.ok;
        }
      } else await wait(BETWEEN_MS, undefined, { signal });
      const ended = await desk.end(due);
      const kept = due.length - ended.length;
      show(
        ended,
        `Ended ${count(ended.length)}.${kept === 0 ? '' : ` ${count(kept)} ended or came into use meanwhile.`}`,
      );
      return EXIT.ok;
    });
  } finally {
    await desk.close();
  }
};

function toDocument({ name, runId, step, pool, createdAtMs, why }: OrphanJob) {
  return {
    name,
    runId,
    ...(step === undefined ? {} : { step }),
    ...(pool === undefined ? {} : { pool }),
    createdAtMs,
    why,
  };
}

const REASONS: { readonly [why in OrphanJob['why']]: string } = {
  closed: 'its run is over',
  reset: 'its run was reset',
  unknown: 'Temporal does not know its run: left alone',
};

function renderFound(found: readonly OrphanJob[], { nowMs }: Pick<CommandContext, 'nowMs'>): string {
  if (found.length === 0) return 'Every Job has a run that waits for it.';
  const rows = found.map(({ name, runId, pool = '', createdAtMs, why }) => [
    name,
    visible(runId),
    visible(pool),
    age(nowMs() - createdAtMs),
    REASONS[why],
  ]);
  return renderTable(['JOB', 'RUN', 'POOL', 'AGE', 'WHY'], rows);
}

function notAsked(found: readonly OrphanJob[], context: CommandContext): AnnealError {
  if (!context.terminal.json) context.terminal.line(renderFound(found, context));
  return new AnnealError(
    'InvalidCommand',
    'Nothing was ended, since nobody can be asked here. Give --yes to end them, or --dry-run to look only.',
  );
}

function age(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

function count(number: number): string {
  return `${number} Job${number === 1 ? '' : 's'}`;
}
