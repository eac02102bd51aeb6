import type { CodeFacts } from '../../core/lineage.js';

/** Looks into a build on this machine; of one that is not here nothing is known. Never rejects. */
export type ReadCode = (of: { readonly build: string; readonly step?: string }) => Promise<CodeFacts>;
