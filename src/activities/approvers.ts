import type { ApproversRequest, ResolvedApprovers } from '../core/activities.js';
import type { Approver, SignatureVerifier } from '../core/approval.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import type { Starter } from '../core/run-starter.js';

/**
 * Who started a run, as far as it can be known: the server's own record of an authenticated caller, else a signature of a listed key, else
 * what the client said.
 * @param recorded whom the server recorded: a name or an e-mail address of an approver, or another account.
 */
export function findStarter(
  { approvers }: Pick<ApproverDirectory, 'approvers'>,
  { claimed, signed }: ApproversRequest['starter'] & object,
  { recorded, verify }: { readonly recorded: string | undefined; readonly verify: SignatureVerifier },
): Starter {
  if (recorded !== undefined) {
    const person = approvers.find(({ name, email }) => name === recorded || email === recorded);
    return { name: person?.name ?? recorded, proven: 'server' };
  }
  const keys = approvers.find(({ name }) => name === signed?.by)?.keys ?? [];
  if (signed && keys.includes(signed.signature.key) && verify(signed.statement, signed.signature))
    return { name: signed.by, proven: 'signature' };
  return claimed === undefined ? {} : { name: claimed };
}

/** Who may decide, as anneal.yaml lists people. */
export interface ApproverDirectory {
  readonly approvers: readonly Approver[];
  readonly groups: { readonly [name: string]: readonly string[] };
}

/**
 * The people behind the names of a gate.
 * @throws AnnealError InvalidInput for a name that is neither an approver nor a group, or where nobody is listed and every decision
 * must be signed.
 */
export function findApprovers(directory: ApproverDirectory, request: ApproversRequest): ResolvedApprovers {
  const { approvers, escalateTo, veto, allowUnverified, gate } = request;
  const find = (names: readonly string[]) => namedPeople(directory, names, request);
  if (approvers === undefined && directory.approvers.length === 0 && !allowUnverified)
    throw new AnnealError(
      'InvalidInput',
      `Approval "${gate}" counts signed decisions only, and anneal.yaml lists nobody who could sign. List people with their keys under approvers:, or set allowUnverified on the approval.`,
    );
  const everybody = directory.approvers.length === 0 ? undefined : directory.approvers;
  const people = approvers === undefined ? everybody : find(approvers);
  return {
    ...(people === undefined ? {} : { approvers: people }),
    ...(escalateTo === undefined ? {} : { escalateTo: find(escalateTo) }),
    ...(veto === undefined ? {} : { veto: find(veto).map(({ name }) => name) }),
  };
}

function namedPeople(
  { approvers, groups }: ApproverDirectory,
  names: readonly string[],
  { gate, allowUnverified }: ApproversRequest,
): readonly Approver[] {
  const byName = new Map(approvers.map((person) => [person.name, person]));
  const found = new Map<string, Approver>();
  for (const name of names) {
    const members = Object.hasOwn(groups, name) ? groups[name] : [name];
    for (const member of members ?? []) {
      const person = byName.get(member) ?? (allowUnverified ? { name: member, keys: [] } : undefined);
      if (!person) {
        const known = [...byName.keys(), ...Object.keys(groups)];
        throw new AnnealError(
          'InvalidInput',
          `Approval "${gate}" names "${name}", who is neither an approver nor a group in anneal.yaml.${didYouMean(name, known)} List them under approvers: with a key, or set allowUnverified on the approval.`,
        );
      }
      found.set(member, person);
    }
  }
  return [...found.values()];
}
