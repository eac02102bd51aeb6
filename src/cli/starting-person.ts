import type { StartRunOptions } from '../client/index.js';
import { AnnealError } from '../core/failures.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { CommandContext, CommandOptions } from './command.js';
import { findDecidingPerson } from './deciding-person.js';
import { userName } from './user-name.js';

/**
 * Who starts a run. Signed with `--key`, or with `ANNEAL_APPROVER_KEY`, which asks nobody for a passphrase; with `--sign` also with a listed
 * `~/.ssh/id_ed25519`.
 * @throws AnnealError InvalidCommand where `--sign` finds no key that anneal.yaml lists.
 */
export async function findStartingPerson(
  context: CommandContext,
  config: Pick<ProjectConfig, 'approvers'>,
  { sign, key }: CommandOptions,
): Promise<Pick<StartRunOptions, 'startedBy' | 'signer'>> {
  if (sign !== true && key === undefined && !context.env['ANNEAL_APPROVER_KEY'])
    return { startedBy: userName(context.env) };
  const { by, signer } = await findDecidingPerson(context, config, key === undefined ? {} : { key });
  const isListed = config.approvers.some(
    ({ keys }) => signer !== undefined && keys.includes(signer.publicKey),
  );
  if (signer !== undefined && isListed) return { startedBy: by, signer };
  if (sign !== true && key === undefined) return { startedBy: by };
  throw new AnnealError(
    'InvalidCommand',
    'The start cannot be signed: no key was found that anneal.yaml lists under approvers:. Name one with --key, or leave --sign out.',
  );
}
