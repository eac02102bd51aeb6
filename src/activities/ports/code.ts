import type { CodeOrigin } from '../../core/lineage.js';

/** What a build says of its code. */
export interface CodeFacts {
  readonly origin?: CodeOrigin;
  /** Digest of the step's Python lock. */
  readonly pythonDigest?: string;
}

/** Looks into a build on this machine; of one that is not here nothing is known. Never rejects. */
export type ReadCode = (of: { readonly build: string; readonly step?: string }) => Promise<CodeFacts>;
