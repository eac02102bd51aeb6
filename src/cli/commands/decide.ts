import type { AnnealClient } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandOptions } from '../command.js';
import { findDecidingPerson } from '../deciding-person.js';
import { parseParameters, type Parameters } from '../parse-parameters.js';
import { EXIT } from '../report-error.js';

/** `anneal approve RUN GATE` and `anneal reject RUN GATE`: decide on what the gate shows, by its digest. */
export const approve = createDecision('approve');
export const reject = createDecision('reject');

function createDecision(decision: 'approve' | 'reject'): Command {
  return async (context, [runId = '', gate = ''], options) => {
    const { comment, digest, at, by, key } = options;
    const project = await context.openProject();
    const client = await project.client();
    const form = await readForm(client, { runId, gate }, options);
    const person = await findDecidingPerson(context, project.config, {
      ...(by === undefined ? {} : { by }),
      ...(key === undefined ? {} : { key }),
    });
    const made = await client.decide({
      runId,
      gate,
      decision,
      ...person,
      ...(comment === undefined ? {} : { comment }),
      ...(digest === undefined ? {} : { digest }),
      ...(form === undefined ? {} : { form }),
      ...(at === undefined ? {} : { atMs: readTime(at) }),
    });
    const verb = decision === 'approve' ? 'Approved' : 'Rejected';
    const signed = made.signature ? 'signed' : 'not signed';
    context.terminal.show(
      { runId, ...made },
      () => `${verb} "${gate}" of ${runId} as ${made.by}, ${signed} (digest ${made.digest.slice(0, 12)}).`,
    );
    return EXIT.ok;
  };
}

async function readForm(
  client: AnnealClient,
  { runId, gate }: { readonly runId: string; readonly gate: string },
  { set = [] }: CommandOptions,
): Promise<Parameters | undefined> {
  if (set.length === 0) return undefined;
  const waiting = (await client.status(runId)).approvals.find((approval) => approval.gate === gate);
  return parseParameters(`The form of "${gate}"`, waiting?.form ?? {}, set);
}

function readTime(text: string): number {
  const atMs = Number(text);
  if (Number.isSafeInteger(atMs) && atMs > 0) return atMs;
  throw new AnnealError('InvalidCommand', `--at is "${text}"; it must be milliseconds since 1970.`);
}
