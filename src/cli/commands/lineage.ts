import type { LineageOptions } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import { renderLineage } from '../lineage-text.js';
import { EXIT } from '../report-error.js';

/** `anneal lineage SUBJECT`: what something was made of, and what came of it. `--repair`: records that a power failure took. */
export const lineage: Command = async (context, [subject], options) => {
  if (options.repair === true) {
    if (subject !== undefined) throw needsOne(`Both "${subject}" and --repair were given.`);
    return await repairRecords(context);
  }
  if (subject === undefined) throw needsOne('Neither a subject nor --repair was given.');
  const asked = readOptions(options);
  const client = await (await context.openProject()).client();
  const found = await client.lineage(subject, asked);
  const { terminal } = context;
  terminal.show(found, () => renderLineage(found, terminal.colors));
  return EXIT.ok;
};

function needsOne(found: string): AnnealError {
  return new AnnealError(
    'InvalidInput',
    `${found} Ask of one thing, such as model:NAME@ALIAS or run:ID, or repair the index.`,
  );
}

async function repairRecords(context: CommandContext): Promise<number> {
  const client = await (await context.openProject()).client();
  const repair = await client.repairLineage();
  const { records, restored, pointers, unknown } = repair;
  context.terminal.show(repair, () =>
    [
      `${records} records, ${restored} of them made again from manifests; ${pointers} pointers to records made again.`,
      ...(unknown === 0
        ? []
        : [
            `${unknown} attempts have no record, and manifests of an earlier version of Anneal, which do not say what they were made of.`,
          ]),
    ].join('\n'),
  );
  return EXIT.ok;
}

function readOptions({ direction, limit, after }: CommandOptions): LineageOptions {
  if (direction !== undefined && direction !== 'back' && direction !== 'forward' && direction !== 'both')
    throw new AnnealError('InvalidInput', `--direction must be back, forward or both; it is "${direction}".`);
  if (limit !== undefined && !/^[1-9]\d{0,3}$/.test(limit))
    throw new AnnealError('InvalidInput', `--limit must be a whole number from 1 to 5000; it is "${limit}".`);
  return {
    ...(direction === undefined ? {} : { direction }),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
    ...(after === undefined ? {} : { after }),
  };
}
