import type { ClaimHolder } from '../../core/claims.js';

/** What an activity may ask about workflow executions. */
export interface Executions {
  /** Whether one execution is closed; `undefined` when the server gives no answer. */
  isClosed(execution: { readonly workflowId: string; readonly runId: string }): Promise<boolean | undefined>;
  /** Whether the newest execution of a chain (continue-as-new, reset) is closed or gone. */
  isChainClosed(chain: { readonly workflowId: string; readonly executionId: string }): Promise<boolean>;
  /** Whether the holder of a claim is at work: its execution is open, with one of its activities or a workflow task pending. */
  isHolderLive(holder: ClaimHolder): Promise<boolean>;
}
