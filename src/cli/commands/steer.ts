import type { Command } from '../command.js';
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

/** `anneal set RUN STEP`: settings of a step's attempts that start from now on. */
export const set: Command = async (context, [runId = '', step = ''], { timeout, memory, pool }) => {
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
