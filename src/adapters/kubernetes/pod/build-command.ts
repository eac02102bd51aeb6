import { storeKeys } from '../../../core/artifact-store.js';
import { AnnealError } from '../../../core/failures.js';
import { podPaths, podVariables, wrapperCommand } from '../../../core/pod-layout.js';
import type { CommandToken } from '../../../core/step.js';
import type { JobRequest } from './job-request.js';

/** `main`'s command: the wrapper, then the step's own, with the pod's paths put in. Nothing of it is a shell's or Kubernetes' to expand. */
export function buildCommand(job: JobRequest): { readonly command: string[]; readonly args: string[] } {
  const { request } = job.launch;
  const args = request.command.map((argument) =>
    typeof argument === 'string'
      ? literal(argument)
      : argument
          .map((piece) => (typeof piece === 'string' ? literal(piece) : resolveToken(job, piece)))
          .join(''),
  );
  const [program = ''] = args;
  if (program === '')
    throw new AnnealError(
      'CommandNotFound',
      `Step "${request.step}": its command is empty. Give command: at least one argument.`,
    );
  const long = args.find((argument) => Buffer.byteLength(argument) >= LONGEST_ARGUMENT);
  if (long !== undefined)
    throw new AnnealError(
      'PodRefused',
      `Step "${request.step}": an argument of its command has ${Buffer.byteLength(long)} bytes; Linux takes less than ${LONGEST_ARGUMENT}. Pass it as a parameter or an input.`,
    );
  return { command: [...wrapperCommand()], args };
}

/** Kubernetes expands `$(NAME)` in commands and environment, and `$$` is its `$`. */
export function literal(text: string): string {
  return text.replaceAll('$', '$$$$');
}

const LONGEST_ARGUMENT = 131_072;
/** Stands for what only the pod itself knows, and cannot be in a key. */
const POD_UID = '00000000-0000-0000-0000-000000000000';

function resolveToken({ launch, store }: JobRequest, token: CommandToken): string {
  const { request, name } = launch;
  const paths = podPaths();
  if ('output' in token) {
    const output = checkName(request.step, token.output);
    if (token.as === 'path') return literal(`${paths.outputs}/${output}`);
    const place = { executionId: request.executionId, attemptName: name, podUid: POD_UID };
    const uri = literal(store.uriOf(`${storeKeys.pod(place)}outputs/${output}`));
    return uri.replace(POD_UID, `$(${podVariables.podUid})`);
  }
  const ref = request.inputs[token.input];
  if (ref === undefined)
    throw new AnnealError(
      'InvalidInput',
      `Step "${request.step}": its command names the input "${token.input}", which the call does not have.`,
    );
  if (token.as === 'path' && request.access?.[token.input] === 'stream')
    throw new AnnealError(
      'InvalidInput',
      `Step "${request.step}": its command takes the path of input "${token.input}", which is streamed. Use its uri, or take it out of access.`,
    );
  return literal(token.as === 'path' ? `${paths.inputs}/${checkName(request.step, token.input)}` : ref.uri);
}

function checkName(step: string, name: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name)) return name;
  throw new AnnealError(
    'InvalidInput',
    `Step "${step}": "${name}" cannot be a file name. Use letters, digits, "_", "-" and ".", and start with a letter or digit.`,
  );
}
