/** Search attribute with which the server says that workers fail on a run again and again; it takes it back by itself. */
export const PROBLEMS_ATTRIBUTE = 'TemporalReportedProblems';

/** Why a run cannot go on, in one sentence with the mend; `undefined` where the server reports no problem. */
export function explainStuck(problems: readonly string[]): string | undefined {
  if (problems.length === 0) return undefined;
  const cause = problems
    .flatMap((problem) => /^cause=WorkflowTask(?:FailedCause|TimedOutCause)?(.+)$/.exec(problem)?.[1] ?? [])
    .join(', ');
  const what = cause === '' ? problems.join(', ') : words(cause);
  return `The run is stuck: a worker fails on its history every time (${what}). The worker's log says why; a build without the fault lets it go on, or end the run with: anneal terminate`;
}

/** `NonDeterministicError` as `non-deterministic error`. */
function words(name: string): string {
  return name
    .replace(/NonDeterministic/g, 'Non-deterministic')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
}
