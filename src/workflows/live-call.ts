import type { CallKey, CallKind, PendingCall } from '../core/journal.js';

/** A call that is being made now, not answered from the journal. */
export interface LiveCall {
  readonly key: CallKey;
  /** Identity of the call for names outside the run: 32 hex digits. */
  readonly callId: string;
  /** What was known of it when the run continued as new. */
  readonly pending: PendingCall | undefined;
  setPending(pending: PendingCall): void;
  /** Asks for leave to start something that must be drained before the run continues as new; nothing to wait for: it is given. */
  begin(): Promise<void> | undefined;
  /** Says that it has ended while the call goes on (a retry delay). A call that settles ends by itself. */
  end(): void;
}

/** What a call is, for its key. */
export interface CallIdentity {
  readonly kind: CallKind;
  readonly name: string;
  readonly input?: unknown;
}
