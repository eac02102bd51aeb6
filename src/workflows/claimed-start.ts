import { workflowInfo } from '@temporalio/workflow';
import type { ApproversRequest } from '../core/activities.js';
import { STARTED_BY_MEMO } from '../core/run.js';
import { isTimely, START_MEMO, startStatement, type StartSignature } from '../core/run-starter.js';
import type { RunView } from './run-state.js';

/** What the memo of the run says of who started it, for whoever can check it. A signature that is not of this start is left out. */
export function claimedStart(view: RunView): ApproversRequest['starter'] & object {
  const { memo, workflowId: runId } = workflowInfo();
  const by: unknown = memo?.[STARTED_BY_MEMO];
  if (typeof by !== 'string') return {};
  const start = memo?.[START_MEMO] as StartSignature | undefined;
  if (start === undefined || !isTimely(start.atMs, view.startedAtMs)) return { claimed: by };
  const { project = '' } = view.snapshot ?? {};
  const { atMs, signature } = start;
  const statement = startStatement({ project, pipeline: view.pipeline, runId, by, atMs });
  return { claimed: by, signed: { by, statement, signature } };
}
