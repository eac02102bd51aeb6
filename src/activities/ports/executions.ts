/** What an activity may ask about the workflow execution that it works for. */
export interface Executions {
  /** Whether the execution is closed; `undefined` when the server gives no answer. */
  isClosed(execution: { readonly workflowId: string; readonly runId: string }): Promise<boolean | undefined>;
}
