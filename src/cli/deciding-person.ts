import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { openSigner, type DecisionSigner } from '../client/index.js';
import { parseApproverKey } from '../config/approver-keys.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { CommandContext } from './command.js';
import { userName } from './user-name.js';

/** Who decides, and with which key. */
export interface DecidingPerson {
  readonly by: string;
  /** Absent: the decision is not signed. */
  readonly signer?: DecisionSigner;
}

/**
 * The person at this terminal: the key is `--key`, else `ANNEAL_APPROVER_KEY`, else `~/.ssh/id_ed25519` where anneal.yaml lists it;
 * the name is `--by`, else the approver whose key it is, else the user of this machine.
 * @throws AnnealError InvalidInput for a key that cannot be used.
 */
export async function findDecidingPerson(
  { env }: Pick<CommandContext, 'env'>,
  { approvers }: Pick<ProjectConfig, 'approvers'>,
  given: { readonly by?: string; readonly key?: string },
): Promise<DecidingPerson> {
  const file = given.key ?? (env['ANNEAL_APPROVER_KEY'] || listedSshKey(env, approvers));
  const signer = file === undefined ? undefined : await openSigner(file);
  const owner = approvers.find(({ keys }) => signer !== undefined && keys.includes(signer.publicKey));
  const by = given.by ?? owner?.name ?? userName(env);
  return signer === undefined ? { by } : { by, signer };
}

/** Only its public half is read here. */
function listedSshKey(env: CommandContext['env'], approvers: ProjectConfig['approvers']): string | undefined {
  const file = path.join(env['HOME'] ?? homedir(), '.ssh', 'id_ed25519');
  if (!existsSync(file) || !existsSync(`${file}.pub`)) return undefined;
  const key = parseApproverKey(readFileSync(`${file}.pub`, 'utf8'));
  return approvers.some(({ keys }) => key !== undefined && keys.includes(key)) ? file : undefined;
}
