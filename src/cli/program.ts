import { Command as Commander } from 'commander';
import { createAdder, examples, type Add, type RunCommand } from './add-command.js';
import { addRetentionCommands } from './retention-program.js';
import { addRunCommands } from './run-commands.js';
import { addShortExamples } from './short-examples.js';
import { addVersionCommands } from './version-commands.js';

/** The commands, their options and help. Nothing heavy is imported before a command runs. */
export function createProgram(run: RunCommand, version: string): Commander {
  const program = new Commander('anneal')
    .description('ML training pipelines that cannot be lost.')
    .version(version, '--version')
    .helpCommand('help [command]', 'help for a command')
    .showHelpAfterError(false)
    .addHelpText(
      'after',
      examples(
        'anneal up',
        'anneal run churn-training --param threshold=0.9 --wait',
        'anneal list --state failed',
        'anneal logs RUN train-model --follow',
      ),
    );
  const add = createAdder(program, run);
  addLocalCommands(add);
  addRunCommands(add);
  addVersionCommands(add);
  addModelCommands(add);
  addLineage(add);
  addScheduleCommands(
    createAdder(program.command('schedule').description('The schedules that pipelines declare in code'), run),
  );
  addBackfill(add);
  addCacheCommands(
    createAdder(program.command('cache').description('Results of steps that later runs reuse'), run),
  );
  addRetentionCommands(
    add,
    createAdder(program.command('hold').description('Legal holds: runs of which nothing is removed'), run),
  );
  addProjectCommands(add);
  addShortExamples(program);
  return program;
}

function addLocalCommands(add: Add): void {
  add(
    'start',
    'Start everything, follow one run, then serve until Ctrl-C (npm start)',
    async () => (await import('./commands/start.js')).start,
  )
    .option('--exit', 'exit with the status of the run when it has ended')
    .option('--pipeline <name>', 'which pipeline (default: the first of the build)');
  add(
    'up',
    'Start local servers and the worker in the background; make changed code current',
    async () => (await import('./commands/up.js')).up,
  );
  add(
    'down',
    'Stop them; running steps get time for a checkpoint',
    async () => (await import('./commands/down.js')).down,
  );
  add(
    'dev',
    'Run servers and worker here, with logs; changed code becomes current',
    async () => (await import('./commands/dev.js')).dev,
  );
  add('build', 'Build the project', async () => (await import('./commands/build.js')).build).addHelpText(
    'after',
    examples('anneal build', 'anneal build --json'),
  );
  add('worker', 'Run a worker until SIGTERM', async () => (await import('./commands/worker.js')).worker)
    .option('--pools <names>', 'only these, separated by commas: pools, and pipelines (default: all of them)')
    .addHelpText('after', examples('anneal worker', 'anneal worker --pools cpu,pipelines'));
}

function addModelCommands(add: Add): void {
  const addMove = (usage: string, description: string, verb: 'promote' | 'rollback' | 'demote') =>
    add(usage, description, async () => (await import('./commands/model.js'))[verb])
      .option('--alias <name>', 'which alias (default: champion)')
      .option('--by <name>', 'who asks, for the record (default: the user of this machine)');
  addMove('promote <model> <version>', 'Point an alias of a model at a version', 'promote').addHelpText(
    'after',
    examples('anneal promote churn-predictor 7', 'anneal promote churn-predictor 8 --alias challenger'),
  );
  addMove('rollback <model>', 'Point an alias back at the version before', 'rollback');
  addMove('demote <model>', 'Remove an alias; rollback brings it back', 'demote');
  add(
    'repair <model>',
    'Put aliases back that a late write moved',
    async () => (await import('./commands/model.js')).repair,
  );
}

function addLineage(add: Add): void {
  add(
    'lineage [subject]',
    'What a model, run, artifact or data set was made of, and what came of it',
    async () => (await import('./commands/lineage.js')).lineage,
  )
    .option('--direction <way>', 'back, forward or both (default: of a model back, of a data set forward)')
    .option('--limit <count>', 'look at so many steps, artifacts and models (default: 200)')
    .option('--after <place>', 'go on behind here, as an earlier answer says')
    .option('--repair', 'instead: make records again that a power failure took')
    .addHelpText(
      'after',
      examples(
        'anneal lineage model:churn-predictor@champion',
        'anneal lineage dataset:s3://data/customers.csv',
        'anneal lineage artifact:4f2a91c0b2d4 --direction forward --json',
      ),
    );
}

function addScheduleCommands(add: Add): void {
  add(
    'apply',
    "Make the server's schedules those of the code",
    async () => (await import('./commands/schedule.js')).apply,
  ).option('--dry-run', 'only say what would change');
  add(
    'list',
    'List schedules and their next times',
    async () => (await import('./commands/schedule.js')).list,
  );
  for (const verb of ['pause', 'resume'] as const)
    add(
      `${verb} <pipeline>`,
      verb === 'pause' ? 'Start no runs until resumed' : 'Start runs again',
      async () => (await import('./commands/schedule.js'))[verb],
    ).option('--note <text>', 'why, shown in the list');
  add(
    'trigger <pipeline>',
    'Start a run now, as the schedule would',
    async () => (await import('./commands/schedule.js')).trigger,
  );
  add(
    'preview [pipeline]',
    'The times of a year as the code has them, and what changes of the clocks do to them',
    async () => (await import('./commands/schedule-preview.js')).preview,
  )
    .option('--year [year]', 'a calendar year (default: the next twelve months)')
    .addHelpText('after', examples('anneal schedule preview', 'anneal schedule preview nightly --year 2027'));
  add(
    'triggers',
    'List what starts runs beside the schedules',
    async () => (await import('./commands/schedule.js')).triggers,
  );
  add(
    'history <pipeline>',
    'What became of the times of a schedule: a run, or why there was none',
    async () => (await import('./commands/schedule.js')).history,
  ).option('--limit <count>', 'at most so many (default: 20)');
  add(
    'delete <pipeline>',
    'Remove a schedule from the server',
    async () => (await import('./commands/schedule.js')).remove,
  );
}

function addBackfill(add: Add): void {
  add(
    'backfill <pipeline>',
    'Make many partitions of a pipeline, or see how far that is',
    async () => (await import('./commands/backfill.js')).backfill,
  )
    .option('--from <key>', 'the first partition')
    .option('--to <key>', 'the last one (default: the first)')
    .option('--keys <keys>', 'these partitions, separated by commas')
    .option('--all', 'all partitions of a list')
    .option('--again', 'also those that this code has made already')
    .option('--param <name=value>', 'a parameter of the runs; may be repeated', collect, [])
    .option('--concurrency <count>', 'runs at once (default: 4)')
    .option('--dry-run', 'only say which would be made')
    .option('--wait', 'follow it to its end; Ctrl-C stops following only')
    .option('--pause', 'start nothing new')
    .option('--resume', 'go on')
    .option('--cancel', 'start nothing more, and cancel what is under way')
    .option('--retry-failed', 'make those that failed again')
    .addHelpText(
      'after',
      examples(
        'anneal backfill daily-features --from 2026-01-01 --to 2026-03-31 --concurrency 8',
        'anneal backfill daily-features',
        'anneal backfill daily-features --retry-failed --wait',
      ),
    );
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function addCacheCommands(add: Add): void {
  add(
    'why <run> <step>',
    'Why a step was answered from the cache, or what made it run again',
    async () => (await import('./commands/cache.js')).why,
  ).addHelpText('after', examples('anneal cache why RUN compute-features'));
  const load = async () => await import('./commands/cache.js');
  const all = [
    add('list', 'List the results', async () => (await load()).list),
    add('clear', 'Take results out of the cache; their files stay', async () => (await load()).clear).option(
      '--dry-run',
      'only say which',
    ),
  ];
  for (const command of all)
    command
      .option('--pipeline <name>', 'only results of runs of this pipeline')
      .option('--step <name>', 'only results of this step');
}

function addProjectCommands(add: Add): void {
  add(
    'init <dir>',
    'Make a new project that runs at once',
    async () => (await import('./commands/init.js')).init,
  )
    .option('--from <file>', 'a train.py (its argparse) or a notebook.ipynb (its tagged parameters)')
    .addHelpText('after', examples('anneal init my-pipelines', 'anneal init churn --from train.py'));
  add(
    'doctor',
    'What is installed, reachable and misconfigured, with the mend',
    async () => (await import('./commands/doctor.js')).doctor,
  ).option('--kubernetes', 'also what Jobs need of the cluster: rights, quota, GPUs, images');
}
