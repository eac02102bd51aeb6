import type { LineageOptions } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandOptions } from '../command.js';
import { renderLineage } from '../lineage-text.js';
import { EXIT } from '../report-error.js';

/** `anneal lineage SUBJECT`: what something was made of, and what came of it. */
export const lineage: Command = async (context, [subject = ''], options) => {
  const asked = readOptions(options);
  const client = await (await context.openProject()).client();
  const found = await client.lineage(subject, asked);
  const { terminal } = context;
  terminal.show(found, () => renderLineage(found, terminal.colors));
  return EXIT.ok;
};

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
