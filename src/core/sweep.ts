/** Workflow type of {@link sweeperWorkflowId}. */
export const SWEEPER_WORKFLOW = 'anneal.sweeper';
/** Signal without argument: look now. */
export const SWEEP_NOW = 'sweep';

/** The workflow that accounts for what runs no code of its own. */
export function sweeperWorkflowId(project: string): string {
  return `anneal/${project}/sweeper`;
}

/** What a sweep begins with: the answer of the one before. */
export interface SweepState {
  /** Close times up to here are accounted for. 0: none yet. */
  readonly watermarkMs: number;
  /** Executions that are told but not closed everywhere yet, because a server was away. */
  readonly unfinished: readonly string[];
  /** Stuck executions that people were told of. */
  readonly stuck: readonly string[];
}
