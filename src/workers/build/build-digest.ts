import { createHash } from 'node:crypto';
import { digestOf } from '../../core/digest.js';
import { BUILD_VERSION, type BuildManifest } from './build-manifest.js';

/** What a build's digest is made from. */
export interface DigestedBuild extends Pick<BuildManifest, 'project' | 'pipelines' | 'steps'> {
  /** Code of the workflow bundle, and of the tasks where the project has some, both without source maps. */
  readonly workflows: string;
  readonly tasks: string | undefined;
  readonly taskDefinitions: BuildManifest['tasks'];
}

/** Names a build by all that it does. Its steps hold the digests of their code and locks. */
export function digestOfBuild({ project, workflows, tasks, ...definitions }: DigestedBuild): string {
  const { pipelines, steps, taskDefinitions } = definitions;
  return digestOf({
    version: BUILD_VERSION,
    project,
    workflows: sha256(workflows),
    tasks: tasks === undefined ? null : sha256(tasks),
    ...{ pipelines, steps, taskDefinitions },
  });
}

const SOURCE_MAP = '//# sourceMappingURL=';

/** The code of a bundle: its source map names files as one machine has them, and is no part of the digest. */
export function withoutSourceMap(bundle: string): string {
  return bundle.slice(0, bundle.lastIndexOf(SOURCE_MAP));
}

/** Digest of what a bundle does. */
export function digestOfBundle(bundle: string): string {
  return sha256(withoutSourceMap(bundle));
}

/** Whether a bundle ends with its source map, in one line: nothing that runs comes after its code. */
export function endsWithSourceMap(bundle: string): boolean {
  const start = bundle.lastIndexOf(SOURCE_MAP);
  return start >= 0 && /^[^\n\r\u2028\u2029]*\s*$/.test(bundle.slice(start));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
