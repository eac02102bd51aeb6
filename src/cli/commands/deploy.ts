import { AnnealError } from '../../core/failures.js';
import type { Routing } from '../../workers/current-build.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { deploymentParts, findBuild, shortBuild } from '../deployment-parts.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';

/** `anneal deploy`: lets new runs use the code as it is, or another build, or what was before. Open runs stay on theirs. */
export const deploy: Command = async (context, _args, options) => {
  const percent = readPercent(options);
  const project = await context.openProject();
  const routing = await context.interruptible(async (signal) => {
    const { deployBuild, rollBack } = await import('../../workers/deploy-build.js');
    const parts = await deploymentParts(project, { signal, nowMs: context.nowMs, env: context.env });
    if (options.rollback === true) return await rollBack(parts);
    return await deployBuild(parts, await chooseBuild(context, project, options), percent);
  });
  if (options.drain !== true) {
    context.terminal.show(routing, () => said(routing));
    return EXIT.ok;
  }
  context.terminal.line(said(routing));
  // A ramp is as little to be waited for as what is current: runs begin on both.
  const { current, ramp } = routing;
  const left = await drain(context, project, [current, ...(ramp === undefined ? [] : [ramp.digest])]);
  context.terminal.show({ ...routing, openRunsElsewhere: left }, () =>
    left === 0
      ? 'No open run is on another build.'
      : `Stopped waiting; ${left} open runs are on other builds.`,
  );
  return left === 0 ? EXIT.ok : EXIT_INTERRUPTED;
};

/** Share of new runs. @throws AnnealError InvalidCommand. */
function readPercent({ ramp, rollback, build }: CommandOptions): number | undefined {
  if (rollback === true && (ramp !== undefined || build !== undefined))
    throw new AnnealError(
      'InvalidCommand',
      '--rollback takes neither --ramp nor --build: it goes one step back.',
    );
  if (ramp === undefined) return undefined;
  const percent = Number(ramp.replace(/%$/, ''));
  if (percent > 0 && percent <= 100) return percent;
  throw new AnnealError(
    'InvalidCommand',
    `--ramp is "${ramp}"; it must be a number above 0 and up to 100. End a ramp with --rollback.`,
  );
}

async function chooseBuild(
  { terminal }: CommandContext,
  project: Project,
  { build }: CommandOptions,
): Promise<Awaited<ReturnType<typeof findBuild>>> {
  if (build !== undefined) return await findBuild(project, build);
  const made = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  for (const warning of made.warnings) terminal.error(terminal.colors.yellow(warning));
  return made;
}

function said({ current, ramp }: Routing): string {
  return ramp === undefined
    ? `New runs use build ${shortBuild(current)}. Open runs stay on theirs; see: anneal versions`
    : `${ramp.percent} % of new runs use build ${shortBuild(ramp.digest)}, the others ${shortBuild(current)}. Go on with "anneal deploy --build ${shortBuild(ramp.digest)}", or back with "anneal deploy --rollback".`;
}

const POLL_MS = 2_000;

/** Waits until no open run is on a build that new runs do not use. @returns how many still are when it was interrupted. */
async function drain(context: CommandContext, project: Project, builds: readonly string[]): Promise<number> {
  const { versions } = await project.client();
  return await context.interruptible(async (signal) => {
    let shown: number | undefined;
    for (;;) {
      const left = await versions.countOthers(...builds);
      if (left === 0 || signal.aborted) return left;
      if (left !== shown)
        context.terminal.line(`${left} open ${left === 1 ? 'run is' : 'runs are'} on other builds.`);
      shown = left;
      const { setTimeout: wait } = await import('node:timers/promises');
      await wait(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  });
}
