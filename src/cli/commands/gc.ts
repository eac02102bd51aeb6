import { AnnealError, type EndingRun, type GcProgress, type RetentionPlan } from '../../client/index.js';
import type { Command, CommandContext } from '../command.js';
import { confirm } from '../confirm.js';
import type { Project } from '../context.js';
import { openRetention } from '../open-retention.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';
import { toSize } from '../size-text.js';
import type { Terminal } from '../terminal.js';

/** `anneal gc`: shows what the policy does not keep, asks, and removes it. */
export const gc: Command = async (context, args, options) => {
  if (options.jobs === true) return await (await import('./gc-jobs.js')).gcJobs(context, args, options);
  const project = await context.openProject();
  const { terminal } = context;
  const progress = createProgressLine(terminal);
  return await context.interruptible(async (signal) => {
    const retention = await openRetention(context, project);
    const work = { signal, onProgress: progress.show };
    const found = await look(context, project, async (lookFor) => await retention.plan({ ...work, lookFor }));
    progress.clear();
    const dryRun = options.dryRun === true;
    if (dryRun || isEmpty(found)) {
      terminal.show({ ...toDocument(found), dryRun, removed: null }, () =>
        renderPlan(found, 'would be removed'),
      );
      return EXIT.ok;
    }
    if (options.yes !== true) {
      if (!terminal.interactive || process.stdin.isTTY !== true) throw notAsked(found, terminal);
      terminal.line(renderPlan(found, 'will be removed'));
      if (!(await confirm('Remove it for good? [y/N] ', signal))) {
        terminal.line('Nothing was removed.');
        return EXIT.ok;
      }
    }
    const removed = await retention.sweep(found.plan, work);
    const isNeeded = await openRunsOf(project);
    const { removeBuilds } = await parts();
    const builds = await removeBuilds(project.paths.buildsDir, found.builds, isNeeded);
    const stored = await openStoredBuilds(context, project);
    const storedBuilds: string[] = [];
    for (const digest of found.storedBuilds)
      if (!(await isNeeded(digest))) storedBuilds.push(...(await stored.remove([digest])));
    const uploads = await (await parts()).endOldUploads(project.paths.store, context.nowMs());
    progress.clear();
    terminal.show(
      { ...toDocument(found), dryRun, removed: { ...removed, builds, storedBuilds, uploads } },
      () =>
        [
          `Removed ${count(removed.objects, 'object')} (${toSize(removed.sizeBytes)}) of ${count(removed.runs, 'run')}, ${count(removed.generations, 'cached result')}, ${count(builds.length + storedBuilds.length, 'build')}${uploads.length === 0 ? '' : `, ${count(uploads.length, 'unfinished upload')}`}.`,
          ...removed.spared.map((run) => `Run ${visible(run)} came into use meanwhile and was left alone.`),
        ].join('\n'),
    );
    return EXIT.ok;
  });
};

/** What goes: of the store, and of this machine. */
interface Found {
  readonly plan: RetentionPlan;
  /** Digests of builds in the directory of this machine, and in the store. */
  readonly builds: readonly string[];
  readonly storedBuilds: readonly string[];
}

const parts = async () => await import('../../workers/retention-parts.js');

async function look(
  context: CommandContext,
  project: Project,
  makePlan: (lookFor: readonly string[]) => Promise<RetentionPlan>,
): Promise<Found> {
  const { paths, config } = project;
  const old = await (
    await parts()
  ).listOldBuilds(paths.buildsDir, context.nowMs() - config.retention.graceMs);
  const oldStored = await (await openStoredBuilds(context, project)).list();
  const plan = await makePlan([...new Set([...old, ...oldStored])]);
  const isFree = (digest: string) => !plan.mentioned.includes(digest);
  return { plan, builds: old.filter(isFree), storedBuilds: oldStored.filter(isFree) };
}

/** Whether runs of a build are open now: what was looked at before somebody was asked may be old. */
async function openRunsOf({ config: { project }, temporal }: Project) {
  const { hasOpenRuns } = await import('../../workers/deployment.js');
  const { client } = await temporal();
  return async (digest: string) => await hasOpenRuns(client, { project, digest });
}

/** Builds in the store: those that were not deployed or tried for as long as runs are kept, and that nobody hosts. */
async function openStoredBuilds({ nowMs }: CommandContext, { paths, config, temporal }: Project) {
  const [{ listOldStoredBuilds, removeStoredBuilds }, { readUsed }, { listHostedBuilds }, { openStore }] =
    await Promise.all([
      import('../../workers/store-retention.js'),
      parts(),
      import('../../workers/deployment.js'),
      import('../../workers/open-store.js'),
    ]);
  const { client } = await temporal();
  const { project, retention } = config;
  const place = {
    ...{ store: openStore(paths), project, clock: { nowMs } },
    listUsed: async () => [
      ...(await readUsed(paths.buildsDir)),
      ...(await listHostedBuilds(client, project, nowMs())),
    ],
  };
  const beforeMs = nowMs() - Math.max(retention.ageMs, retention.graceMs);
  return {
    list: async () => await listOldStoredBuilds(place, beforeMs),
    remove: async (digests: readonly string[]) => await removeStoredBuilds(place, digests, beforeMs),
  };
}

function isEmpty({ plan, builds, storedBuilds }: Found): boolean {
  const { runs, generations, payloads, uses, records } = plan;
  return [runs, generations, payloads, uses, records, builds, storedBuilds].every(
    ({ length }) => length === 0,
  );
}

function notAsked(found: Found, terminal: Terminal): AnnealError {
  if (!terminal.json) terminal.line(renderPlan(found, 'would be removed'));
  return new AnnealError(
    'InvalidCommand',
    'Nothing was removed, since nobody can be asked here. Give --yes to remove, or --dry-run to look only.',
  );
}

function toDocument({ plan, builds, storedBuilds }: Found) {
  const { runs, generations, payloads, uses, records, kept, sizeBytes } = plan;
  const payloadBytes = payloads.reduce((sum, payload) => sum + payload.sizeBytes, 0);
  return {
    ...{ runs, generations, kept, sizeBytes, builds, storedBuilds },
    payloads: { count: payloads.length, sizeBytes: payloadBytes },
    ...{ uses: uses.length, records: records.length },
  };
}

function renderPlan(found: Found, verb: string): string {
  const { plan } = found;
  const keptRuns = Object.values(plan.kept).reduce((sum, number) => sum + number, 0);
  const reasons = Object.entries(plan.kept).map(
    ([verdict, number]) => `${number} ${KEPT[verdict] ?? verdict}`,
  );
  const kept = `${count(keptRuns, 'run')} ${keptRuns === 1 ? 'is' : 'are'} kept${reasons.length === 0 ? '' : `: ${reasons.join(', ')}`}.`;
  if (isEmpty(found)) return `Nothing is to be removed. ${kept}`;
  const { payloads } = toDocument(found);
  return [
    ...(plan.runs.length === 0 ? [] : [renderRuns(plan.runs), '']),
    `${toSize(plan.sizeBytes)} ${verb}: ${count(plan.runs.length, 'run')}, ${count(plan.generations.length, 'cached result')} or closed claims, ${count(payloads.count, 'large payload')} (${toSize(payloads.sizeBytes)}), ${count(found.builds.length, 'build')} of this machine, ${found.storedBuilds.length} of the store.`,
    kept,
  ].join('\n');
}

const KEPT: { readonly [verdict: string]: string } = {
  live: 'open',
  held: 'held',
  registered: 'behind a registered model',
  recent: 'recent',
  newest: 'the newest of their pipelines',
  part: 'part of a run that is kept',
};

function renderRuns(runs: readonly EndingRun[]): string {
  const rows = runs.map(({ runId, executionId, pipeline, endedAtMs, what, sizeBytes }) => [
    visible(runId ?? `(${executionId})`),
    visible(pipeline ?? ''),
    new Date(endedAtMs).toISOString().slice(0, 10),
    what === 'everything' ? 'everything' : 'checkpoints only',
    toSize(sizeBytes),
  ]);
  return renderTable(['RUN', 'PIPELINE', 'ENDED', 'WHAT GOES', 'SIZE'], rows);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

const PHASES: { readonly [phase in GcProgress['phase']]: string } = {
  runs: 'Looking at runs',
  cache: 'Looking at the cache',
  histories: 'Reading histories',
  removing: 'Removing',
};
const BAR = 24;

/** One line that is written over, on a terminal; elsewhere nothing. */
function createProgressLine(terminal: Terminal) {
  let shown = false;
  const clear = () => {
    if (shown) terminal.write('\r\u001b[K');
    shown = false;
  };
  return {
    clear,
    show: ({ phase, done, total }: GcProgress) => {
      if (!terminal.interactive) return;
      const filled = total === undefined ? 0 : Math.round((BAR * done) / Math.max(1, total));
      const bar = total === undefined ? '' : ` [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`;
      terminal.write(`\r\u001b[K${PHASES[phase]}${bar} ${done}${total === undefined ? '' : ` of ${total}`}`);
      shown = true;
    },
  };
}
