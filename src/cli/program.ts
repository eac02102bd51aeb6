import { Command as Commander } from 'commander';
import { createAdder, examples, type Add, type RunCommand } from './add-command.js';
import { addRetentionCommands } from './retention-program.js';

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
  addDecisions(add);
  addModelCommands(add);
  addLineage(add);
  addScheduleCommands(
    createAdder(program.command('schedule').description('The schedules that pipelines declare in code'), run),
  );
  addCacheCommands(
    createAdder(program.command('cache').description('Results of steps that later runs reuse'), run),
  );
  addRetentionCommands(
    add,
    createAdder(program.command('hold').description('Legal holds: runs of which nothing is removed'), run),
  );
  addProjectCommands(add);
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
  add('build', 'Build the project', async () => (await import('./commands/build.js')).build);
  add('worker', 'Run a worker until SIGTERM', async () => (await import('./commands/worker.js')).worker)
    .option('--pools <names>', 'only these pools, separated by commas (default: all, and pipelines)')
    .addHelpText('after', examples('anneal worker', 'anneal worker --pools cpu,gpu-a100'));
}

function addRunCommands(add: Add): void {
  add('run <pipeline>', 'Start a run of a pipeline', async () => (await import('./commands/run.js')).run)
    .option('--param <name=value>', 'a parameter; may be repeated', collect, [])
    .option('--params-file <file>', 'parameters from a JSON file; --param beats it')
    .option('--id <run>', 'run id (default: made from pipeline and time)')
    .option('--wait', 'follow the run to its end; Ctrl-C stops following only')
    .option('--no-cache', 'run every step, whatever the cache holds')
    .option('--refresh <step>', 'run this step again and keep its new result; may be repeated', collect, [])
    .option('--verify <depth>', 'of cached results: size (default) looks for their files, full reads them')
    .addHelpText(
      'after',
      examples(
        'anneal run churn-training',
        'anneal run churn-training --param table=wa_churn --wait',
        'anneal run churn-training --params-file nightly.json --json',
      ),
    );
  add(
    'list',
    'List runs: open ones first, then the newest',
    async () => (await import('./commands/list.js')).list,
  )
    .option('--pipeline <name>', 'only runs of this pipeline')
    .option('--state <state>', 'only runs in this state')
    .option('--limit <count>', 'at most so many (default: 20)')
    .addHelpText(
      'after',
      examples('anneal list', 'anneal list --pipeline churn-training --state failed --limit 5'),
    );
  add(
    'describe <run> [step]',
    'Everything known of a run: steps, parameters, links; of a step what it made',
    async () => (await import('./commands/describe.js')).describe,
  ).addHelpText('after', examples('anneal describe RUN', 'anneal describe RUN train-model --json'));
  add(
    'logs <run> [step]',
    'What the steps of a run print',
    async () => (await import('./commands/logs.js')).logs,
  )
    .option('-f, --follow', 'go on until the run has ended')
    .addHelpText('after', examples('anneal logs RUN', 'anneal logs RUN train-model --follow'));
  add(
    'cancel <run>',
    'Ask a run to stop, and wait until everything of it has ended',
    async () => (await import('./commands/cancel.js')).cancel,
  );
  add(
    'terminate <run>',
    'End a run at once, without its own clean-up',
    async () => (await import('./commands/terminate.js')).terminate,
  ).option('--reason <text>', 'why, for the record');
}

function addDecisions(add: Add): void {
  for (const decision of ['approve', 'reject'] as const)
    add(
      `${decision} <run> <gate>`,
      `${decision === 'approve' ? 'Approve' : 'Reject'} what waits at a gate`,
      async () => (await import('./commands/decide.js'))[decision],
    )
      .option('--comment <text>', 'shown with the decision')
      .option(
        '--by <name>',
        'who decides (default: the approver whose key signs, else the user of this machine)',
      )
      .option(
        '--key <file>',
        'Ed25519 key that signs (default: ANNEAL_APPROVER_KEY, else a listed ~/.ssh/id_ed25519)',
      )
      .option('--set <name=value>', "a value of the gate's form; may be repeated", collect, [])
      .option('--digest <digest>', 'digest of what was seen (default: of what the gate shows now)')
      .option('--at <ms>', 'send an unconfirmed decision again: the time of the first')
      .addHelpText(
        'after',
        examples(
          `anneal ${decision} RUN promote --comment 'looked at the curves'`,
          `anneal ${decision} RUN promote --key ~/.ssh/id_ed25519 --set threshold=0.9`,
        ),
      );
  add(
    'approvals',
    'What waits for a decision of people, over all runs',
    async () => (await import('./commands/approvals.js')).approvals,
  )
    .option('--mine', 'only what you may still decide')
    .option('--by <name>', 'only what this approver may still decide')
    .option('--key <file>', 'the key that says who you are')
    .addHelpText('after', examples('anneal approvals', 'anneal approvals --mine'));
  add(
    'audit <run>',
    'Who decided what on which digest',
    async () => (await import('./commands/audit.js')).audit,
  )
    .option(
      '--verify',
      'check every signature against the keys in anneal.yaml; exit code 1 if one does not hold',
    )
    .addHelpText('after', examples('anneal audit RUN', 'anneal audit RUN --verify --json'));
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
    'lineage <subject>',
    'What a model, run, artifact or data set was made of, and what came of it',
    async () => (await import('./commands/lineage.js')).lineage,
  )
    .option('--direction <way>', 'back, forward or both (default: of a model back, of a data set forward)')
    .option('--limit <count>', 'look at so many steps, artifacts and models (default: 200)')
    .option('--after <place>', 'go on behind here, as an earlier answer says')
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
    'delete <pipeline>',
    'Remove a schedule from the server',
    async () => (await import('./commands/schedule.js')).remove,
  );
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
  );
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
