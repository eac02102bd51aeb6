import type { RunProgram } from '../../adapters/run-program.js';
import type { CodeOrigin } from '../../core/lineage.js';
import { withoutCredentials } from '../../core/without-credentials.js';

/** What {@link readCodeOrigin} takes. */
export interface CodeOriginDeps {
  readonly env: NodeJS.ProcessEnv;
  readonly run: RunProgram;
}

/** A large work tree must not hold up a build. */
const TIMEOUT_MS = 5_000;

/**
 * The commit that a directory's files come from, and whether they differ from it. Nothing where git is not installed, or does not
 * know the directory, or it has no commit yet. Asks git for nothing that writes, or runs a program of the repository's choosing.
 */
export async function readCodeOrigin(root: string, deps: CodeOriginDeps): Promise<CodeOrigin | undefined> {
  const head = await ask(root, deps, ['rev-parse', '--verify', 'HEAD^{commit}']);
  const commit = head?.trim();
  if (commit === undefined || !/^[0-9a-f]{40,64}$/.test(commit)) return undefined;
  const [branch, remote, changes] = await Promise.all([
    ask(root, deps, ['symbolic-ref', '--short', '-q', 'HEAD']),
    ask(root, deps, ['config', '--get', 'remote.origin.url']),
    ask(root, deps, ['status', '--porcelain', '--', '.', ':(exclude).anneal']),
  ]);
  const repositoryUrl = shownRemote(remote?.trim());
  return {
    commit,
    ...(branch === undefined || branch.trim() === '' ? {} : { branch: branch.trim() }),
    ...(repositoryUrl === undefined ? {} : { repositoryUrl }),
    ...(changes === undefined ? {} : { dirty: changes.trim() !== '' }),
  };
}

async function ask(
  root: string,
  { env, run }: CodeOriginDeps,
  args: readonly string[],
): Promise<string | undefined> {
  const quiet = ['-c', 'core.fsmonitor=false'];
  const { code, stdout } = await run({
    file: 'git',
    args: [...quiet, ...args],
    cwd: root,
    env: { ...withoutGit(env), GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
    timeoutMs: TIMEOUT_MS,
  });
  return code === 0 ? stdout : undefined;
}

/** A build that is made in a hook of git is told of another repository, perhaps. */
function withoutGit(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name]) =>
      !['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_PREFIX', 'GIT_COMMON_DIR'].includes(name),
  );
  return Object.fromEntries(kept);
}

/** It is shown in MLflow. What is no URL, such as `git@host:path`, holds no password; a broken URL may. */
function shownRemote(remote: string | undefined): string | undefined {
  if (remote === undefined || remote === '') return undefined;
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(remote);
  return isUrl && !URL.canParse(remote) ? undefined : withoutCredentials(remote);
}
