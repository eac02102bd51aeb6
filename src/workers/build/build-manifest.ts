import type { CodeOrigin } from '../../core/lineage.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { RegisteredDefinitions } from '../../pipeline/registry.js';
import type { StepDefinition } from '../../core/step.js';

/** Version of the layout of a build's directory and manifest. */
export const BUILD_VERSION = 1;

/** A step as it is in a build. */
export interface BuiltStep extends StepDefinition {
  /** Digest of the names, modes and contents of its code files. */
  readonly codeDigest: string;
  /** Digest of each of them, by the name that it has in the working directory. */
  readonly codeFiles?: { readonly [name: string]: string };
  /** Digest of its Python lock and version. */
  readonly pythonDigest?: string;
}

/** A task that a build's pipelines call. */
export type TaskDefinition = RegisteredDefinitions['tasks'][number];

/**
 * What a build holds, beside `workflows.js`, `activities.mjs` (where there are tasks), `code/<step>/...` (the working directory's
 * first contents) and `python/<step>.txt` (the step's lock): `manifest.json`.
 */
export interface BuildManifest {
  readonly version: typeof BUILD_VERSION;
  /** Hex sha256 over everything else in the build; its directory's name. */
  readonly digest: string;
  readonly project: string;
  readonly pipelines: readonly PipelineDefinition[];
  readonly steps: readonly BuiltStep[];
  readonly tasks: readonly TaskDefinition[];
  /** Hex sha256 of `workflows.js` and `activities.mjs`, without their source maps; follows from what the digest is made from. */
  readonly bundles?: { readonly workflows: string; readonly tasks?: string };
  /** ISO time of the first build with this digest on this machine; not part of the digest. */
  readonly createdAt: string;
  /** The commit that was checked out when the build was last made; not part of the digest. Absent outside git. */
  readonly origin?: CodeOrigin;
}

/** A build on disk. */
export interface Build {
  readonly digest: string;
  readonly dir: string;
  readonly manifest: BuildManifest;
}

/** Names inside a build's directory. */
export const BUILD_FILES = {
  workflows: 'workflows.js',
  activities: 'activities.mjs',
  manifest: 'manifest.json',
  code: 'code',
  python: 'python',
} as const;
