import { AnnealError } from '../../core/failures.js';
import type { CodeProblem } from '../../adapters/module-bundler.js';

/** The error for a project that cannot be built; all problems at once, one sentence a line. */
export function buildFailure(problems: readonly (CodeProblem | string)[]): AnnealError {
  const sentences = problems.map((problem) =>
    typeof problem === 'string' ? problem : describeProblem(problem),
  );
  return new AnnealError(
    'BuildFailed',
    sentences.length === 0 ? 'The project cannot be built.' : sentences.join('\n'),
  );
}

/** `pipelines/index.ts:3:8: what is wrong.` */
export function describeProblem({ text, file, line, column }: CodeProblem): string {
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  return file === undefined
    ? sentence
    : `${[file, line, column].filter((part) => part !== undefined).join(':')}: ${sentence}`;
}
