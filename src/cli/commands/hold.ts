import type { Hold, HoldSubject } from '../../client/index.js';
import type { Command } from '../command.js';
import { openRetention } from '../open-retention.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';
import { userName } from '../user-name.js';

/** `anneal hold add SUBJECT`: keeps everything of a run, or of the runs that a model's versions come from. */
export const add: Command = async (context, [text = ''], options) => {
  const retention = await openRetention(context, await context.openProject());
  const subject = readSubject(text);
  const by = options.by ?? userName(context.env);
  const { reason } = options;
  const result = await retention.hold(subject, { by, ...(reason === undefined ? {} : { reason }) });
  context.terminal.show({ ...subject, result }, () =>
    result === 'added'
      ? `${nameOf(subject)} is held: "anneal gc" removes nothing of it.`
      : `${nameOf(subject)} was held before.`,
  );
  return EXIT.ok;
};

/** `anneal hold remove SUBJECT`: ends a hold. */
export const remove: Command = async (context, [text = '']) => {
  const retention = await openRetention(context, await context.openProject());
  const subject = readSubject(text);
  await retention.release(subject);
  context.terminal.show(subject, () => `${nameOf(subject)} is held no more.`);
  return EXIT.ok;
};

/** `anneal hold list`: every hold. */
export const list: Command = async (context) => {
  const retention = await openRetention(context, await context.openProject());
  const holds = await retention.holds();
  context.terminal.show(holds, () => (holds.length === 0 ? 'Nothing is held.' : renderHolds(holds)));
  return EXIT.ok;
};

const MODEL = 'model:';

function readSubject(text: string): HoldSubject {
  return text.startsWith(MODEL)
    ? { kind: 'model', name: text.slice(MODEL.length) }
    : { kind: 'run', name: text };
}

function nameOf({ kind, name }: HoldSubject): string {
  return `${kind === 'run' ? 'Run' : 'Model'} ${visible(name)}`;
}

function renderHolds(holds: readonly Hold[]): string {
  const rows = holds.map(({ kind, name, executionIds, by, atMs, reason }) => [
    kind === 'model' ? `${MODEL}${visible(name)}` : visible(name),
    String(executionIds.length),
    visible(by),
    new Date(atMs).toISOString().slice(0, 10),
    visible(reason ?? ''),
  ]);
  return renderTable(['HELD', 'RUNS', 'BY', 'SINCE', 'REASON'], rows);
}
