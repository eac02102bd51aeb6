import { budgetProblem } from '../../core/budget.js';
import { formatCost } from '../../core/cost.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { userName } from '../user-name.js';

/** `anneal pause RUN`: nothing new starts; what runs goes on to its end. */
export const pause: Command = async (context, [runId = ''], { reason }) => {
  const client = await (await context.openProject()).client();
  const by = userName(context.env);
  const answer = await client.pause(runId, { by, ...(reason === undefined ? {} : { reason }) });
  context.terminal.show(
    { runId, answer },
    () => `${runId}: ${answer}. Steps that run go on; no new one starts.`,
  );
  return EXIT.ok;
};

/** `anneal resume RUN`: goes on after a pause. */
export const resume: Command = async (context, [runId = '']) => {
  const client = await (await context.openProject()).client();
  const answer = await client.resume(runId, { by: userName(context.env) });
  context.terminal.show({ runId, answer }, () => `${runId}: ${answer}.`);
  return EXIT.ok;
};

/** `anneal set RUN STEP`: settings of a step's attempts that start from now on. `anneal set RUN --budget N`: what the run may cost. */
export const set: Command = async (context, [runId = '', step = ''], options) => {
  const { budget, timeout, memory, pool } = options;
  if (budget !== undefined) return await raiseBudget(context, { runId, step, budget: readBudget(budget) });
  if (step === '')
    throw new AnnealError(
      'InvalidCommand',
      'Name the step whose next attempts are to change, or say what the whole run may cost with --budget.',
    );
  const client = await (await context.openProject()).client();
  const settings = await client.setStep(runId, {
    step,
    by: userName(context.env),
    ...(timeout === undefined ? {} : { timeout }),
    ...(memory === undefined ? {} : { memory }),
    ...(pool === undefined ? {} : { pool }),
  });
  const text = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  context.terminal.show(
    { runId, step, settings },
    () => `Next attempts of "${step}" in ${runId}: ${text.join(', ')}. One that runs keeps what it has.`,
  );
  return EXIT.ok;
};

/** `--budget`. @throws AnnealError InvalidCommand. */
export function readBudget(text: string): number {
  const budget = text.trim() === '' ? NaN : Number(text);
  const problem = budgetProblem(budget);
  if (problem === undefined) return budget;
  throw new AnnealError(
    'InvalidCommand',
    `--budget is "${text}"; it must be a number above 0, in the currency of the pools' pricePerHour.`,
  );
}

async function raiseBudget(
  context: CommandContext,
  { runId, step, budget }: { readonly runId: string; readonly step: string; readonly budget: number },
): Promise<number> {
  if (step !== '')
    throw new AnnealError(
      'InvalidCommand',
      `A budget is of a run, not of its step "${step}": leave that out.`,
    );
  const client = await (await context.openProject()).client();
  const status = await client.setBudget(runId, { budget, by: userName(context.env) });
  context.terminal.show(
    { runId, budget: status },
    () => `${runId} may cost ${formatCost(status.limit)}; ${formatCost(status.spent)} of it is spent.`,
  );
  return EXIT.ok;
}
