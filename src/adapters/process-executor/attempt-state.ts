import type { ProcessIdentity } from '../process-identity.js';
import { isSameProcess } from '../process-identity.js';
import type { AttemptPaths } from './attempt-directory.js';
import { readJson } from '../attempt-files/json-file.js';
import type { AttemptResult, AttemptSpec } from './attempt-spec.js';

/** What an attempt's directory says. */
export type AttemptState =
  | { readonly kind: 'absent' }
  /** Prepared, but no supervisor has taken it yet. */
  | { readonly kind: 'unsupervised'; readonly spec: AttemptSpec }
  | { readonly kind: 'running'; readonly spec: AttemptSpec; readonly supervisor: ProcessIdentity }
  | {
      readonly kind: 'ended';
      readonly spec: AttemptSpec;
      readonly supervisor: ProcessIdentity;
      readonly result: AttemptResult;
    }
  /** The supervisor is gone and left no result. */
  | { readonly kind: 'lost'; readonly spec: AttemptSpec; readonly supervisor: ProcessIdentity };

/** Looks at an attempt on this machine. */
export async function readAttemptState(paths: AttemptPaths): Promise<AttemptState> {
  const spec = await readJson<AttemptSpec>(paths.spec);
  if (spec === undefined) return { kind: 'absent' };
  const supervisor = await readJson<ProcessIdentity>(paths.supervisor);
  if (supervisor === undefined) return { kind: 'unsupervised', spec };
  // Life is looked at before the result: what is written in between is then seen.
  const alive = await isSameProcess(supervisor);
  const result = await readJson<AttemptResult>(paths.result);
  if (result) return { kind: 'ended', spec, supervisor, result };
  return { kind: alive ? 'running' : 'lost', spec, supervisor };
}
