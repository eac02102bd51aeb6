import type { AttemptRequest } from '../core/attempt.js';
import type { CodeOrigin } from '../core/lineage.js';
import type { CodeFacts } from '../core/lineage.js';

type Tags = { [name: string]: string };

/** Tags with which MLflow's UI shows the version of a run's source, and links to it where it knows the site. */
export function buildGitTags(origin: CodeOrigin | undefined): Tags {
  if (origin === undefined) return {};
  const { commit, branch, repositoryUrl, dirty } = origin;
  return {
    'mlflow.source.git.commit': commit,
    ...(branch === undefined ? {} : { 'mlflow.source.git.branch': branch }),
    ...(repositoryUrl === undefined ? {} : { 'mlflow.source.git.repoURL': repositoryUrl }),
    ...(dirty === undefined ? {} : { 'mlflow.source.git.dirty': String(dirty) }),
  };
}

/** Tags that say with what a step runs: its code by content, its lock or image, the commit of its build. */
export function buildCodeTags(
  { build, codeDigest, image }: Pick<AttemptRequest, 'build' | 'codeDigest' | 'image'>,
  { origin, pythonDigest }: CodeFacts,
): Tags {
  return {
    ...buildGitTags(origin),
    'anneal.build': build,
    'anneal.code_digest': codeDigest,
    ...(pythonDigest === undefined ? {} : { 'anneal.python_digest': pythonDigest }),
    ...(image === undefined ? {} : { 'mlflow.docker.image.uri': image }),
  };
}
