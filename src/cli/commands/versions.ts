import type { Version } from '../../client/index.js';
import type { Command } from '../command.js';
import { shortBuild } from '../deployment-parts.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';

/** `anneal versions`: the builds that the server knows, and which open runs are on each. */
export const versions: Command = async (context) => {
  const project = await context.openProject();
  const found = await (await project.client()).versions.list();
  context.terminal.show(found, () =>
    found.length === 0 ? 'No worker has hosted a build yet. Start one with: anneal up' : render(found),
  );
  return EXIT.ok;
};

const SHOWN_RUNS = 5;

function render(found: readonly Version[]): string {
  const rows = found.map(({ build, status, percent, sinceMs, openRuns, runs }) => [
    shortBuild(build),
    percent === undefined ? status : `${status} ${percent} %`,
    sinceMs === undefined ? '' : new Date(sinceMs).toISOString().slice(0, 19).replace('T', ' '),
    String(openRuns),
    runsText(runs, openRuns),
  ]);
  return renderTable(['BUILD', 'NEW RUNS', 'SINCE', 'OPEN', 'RUNS'], rows);
}

function runsText(runs: Version['runs'], count: number): string {
  const names = runs
    .slice(0, SHOWN_RUNS)
    .map(({ runId, state }) => `${visible(runId)}${state === 'running' ? '' : ` (${state})`}`);
  const more = count - names.length;
  return [...names, ...(more > 0 ? [`${more} more`] : [])].join(', ');
}
