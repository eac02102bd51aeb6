import { handled } from './handled.js';
import { registeredDefinitions } from './registry.js';
import { currentRuntime, type TaskOptions } from './runtime.js';

/** A task as a pipeline calls it. */
export interface Task<F extends (input: never) => unknown> {
  (...input: Parameters<F>): Promise<Awaited<ReturnType<F>>>;
  readonly taskName: string;
}

/**
 * Declares a task: a small piece of TypeScript with I/O, run by the pipeline's own worker. The function itself is exported under the
 * same name from the module that `activities:` in anneal.yaml names; import it as a type only:
 * `const countRows = defineTask<typeof import('../activities.js').countRows>('countRows')`.
 * Input and output are JSON. A task that throws is tried again (3 tries by default) and then fails with `TaskFailed`.
 */
export function defineTask<F extends (input: never) => unknown>(
  name: string,
  options: TaskOptions = {},
): Task<F> {
  registeredDefinitions().tasks.push({ name, options });
  const ask = async (...input: Parameters<F>): Promise<unknown> =>
    await currentRuntime(`Task "${name}"`).task(name, input[0] ?? null, options);
  const call = (...input: Parameters<F>): Promise<unknown> => handled(ask(...input));
  return Object.assign(call as (...input: Parameters<F>) => Promise<Awaited<ReturnType<F>>>, {
    taskName: name,
  });
}
