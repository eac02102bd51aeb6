/** A run that is open, or waits to be, in a pipeline with `maxActiveRuns`. */
export interface AdmissionTicket {
  readonly workflowId: string;
  /** Temporal's `firstExecutionRunId`: the same over continue-as-new. */
  readonly executionId: string;
}

/** Argument of signal `enter` of a pipeline's admission workflow. */
export interface AdmissionRequest {
  readonly project: string;
  readonly pipeline: string;
  readonly ticket: AdmissionTicket;
  /** Runs that may be open at once, as the asking run's code says. */
  readonly limit: number;
}

/** Workflow type and signals: `enter` and `leave` of the admission, `admitted` of the run. */
export const ADMISSION_WORKFLOW = 'anneal.admission';
export const ADMISSION_ENTER = 'enter';
export const ADMISSION_LEAVE = 'leave';
export const ADMISSION_ADMITTED = 'admitted';

/** Workflow id of a pipeline's admission. */
export function admissionWorkflowId(project: string, pipeline: string): string {
  return `admission/${project}/${pipeline}`;
}
