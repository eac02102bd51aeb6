import type { Client } from '@temporalio/client';
import type { SignatureVerifier } from '../core/approval.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { CodeFacts, ModelIndex } from '../core/lineage.js';

/** What the client of a project stands on. */
export interface AnnealClientOptions {
  /** Connected to the server and namespace of the project. */
  readonly temporal: Client;
  /** Name of the project: its task queues and schedules carry it. */
  readonly project: string;
  /** Where records and logs of ended runs are. Without it they are rebuilt from history, and logs of ended steps are not there. */
  readonly store?: Pick<ArtifactStore, 'readBytes' | 'openRead'> &
    Partial<Pick<ArtifactStore, 'list' | 'removeAll' | 'putBytes'>>;
  /** MLflow's registry, for lineage; without it models are not known. */
  readonly models?: ModelIndex;
  /** What builds say of their code, for records of lineage that are made again; without it they do not say it. */
  readonly readCode?: (of: { readonly build: string; readonly step: string }) => Promise<CodeFacts>;
  /** Where attempts of this machine run; without it running steps have no log to follow. */
  readonly attemptsDir?: string;
  readonly clock?: ClientClock;
  /** Checks signatures for the audit. Default: Ed25519, as the CLI signs. */
  readonly verify?: SignatureVerifier;
}

/** Time, so that tests need not wait. */
export interface ClientClock {
  readonly nowMs: () => number;
  /** Rejects with the signal's reason when that aborts. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** {@link AnnealClientOptions} with everything filled in that has a default. */
export interface ClientDeps extends AnnealClientOptions {
  readonly clock: ClientClock;
}

/** Time that one call of the server may take, its retries included. */
export const CALL_TIMEOUT_MS = 10_000;
