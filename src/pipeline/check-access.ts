import type { InputAccess } from '../core/step.js';
import type { Slot } from './slots.js';

const ACCESS: readonly InputAccess[] = ['copy', 'stream', 'mount'];

/** How a step says that its inputs are delivered. @throws TypeError for what is no artifact of its, or no way. */
export function checkAccess(
  step: string,
  access: object,
  inputs: { readonly [name: string]: Slot },
): { readonly [input: string]: InputAccess } {
  const checked = Object.entries(access).map(([name, given]: [string, unknown]) => {
    if (inputs[name]?.slot !== 'artifact')
      throw new TypeError(
        `Step "${step}" names "${name}" in access, which is no artifact among its inputs (${Object.keys(inputs).join(', ') || 'it has none'}).`,
      );
    const how = ACCESS.find((known) => known === given);
    if (how === undefined)
      throw new TypeError(
        `Step "${step}" has access ${JSON.stringify(given)} for input "${name}"; it is "copy", "stream" or "mount".`,
      );
    return [name, how] as const;
  });
  return Object.fromEntries(checked);
}
