import {
  ActivityCancellationType,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import {
  ADMISSION_ADMITTED,
  ADMISSION_LEAVE,
  admissionWorkflowId,
  type AdmissionTicket,
} from '../core/admission.js';
import { systemTaskQueue } from '../core/run.js';
import type { RunView } from './run-state.js';

/** Time without a place after which a run asks again: an admission that was terminated has forgotten it. */
const RESEND_AFTER = '5m';

/** A run's place in a pipeline with `maxActiveRuns`. */
export class AdmissionClient {
  private admitted = false;
  private entered: boolean;

  /** @param continued the run was admitted by an earlier execution. */
  constructor(continued: boolean) {
    this.entered = continued;
    setHandler(
      defineSignal(ADMISSION_ADMITTED),
      () => {
        this.admitted = true;
      },
      { description: 'The run has one of the places of its pipeline; sent when one is free' },
    );
  }

  /** Waits until the run may start; at once in a pipeline without a limit. */
  async enter(view: RunView, project: string): Promise<void> {
    const limit = view.definition.maxActiveRuns;
    if (limit === undefined || this.entered) return;
    const { submitToAdmission } = proxyActivities<SystemActivities>({
      taskQueue: systemTaskQueue(project),
      startToCloseTimeout: '30s',
      retry: { maximumInterval: '30s' },
      // A request on its way arrives before the run leaves.
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `ask for one of ${limit} places`,
    });
    view.setState('queued');
    this.entered = true;
    const request = { project, pipeline: view.pipeline, ticket: ticketOf(view), limit };
    const admitted = () => this.admitted;
    do await submitToAdmission(request);
    while (!(await condition(admitted, RESEND_AFTER, { summary: `a place in ${view.pipeline}` })));
    view.setState('running');
  }

  /** Gives the place back. An admission that is gone has forgotten it anyway. */
  async leave(view: RunView, project: string): Promise<void> {
    if (view.definition.maxActiveRuns === undefined || !this.entered) return;
    try {
      await getExternalWorkflowHandle(admissionWorkflowId(project, view.pipeline)).signal(
        defineSignal<[AdmissionTicket]>(ADMISSION_LEAVE),
        ticketOf(view),
      );
    } catch {
      return;
    }
  }
}

function ticketOf(view: RunView): AdmissionTicket {
  return { workflowId: workflowInfo().workflowId, executionId: view.executionId };
}
