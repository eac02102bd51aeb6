import { examples, type Add } from './add-command.js';

/** The commands that start, watch, steer and judge runs. */
export function addRunCommands(add: Add): void {
  addOperations(add);
  addDecisions(add);
  addCommand(add);
  addViews(add);
  addEnds(add);
  add('run <pipeline>', 'Start a run of a pipeline', async () => (await import('./commands/run.js')).run)
    .option('--param <name=value>', 'a parameter; may be repeated', collect, [])
    .option('--params-file <file>', 'parameters from a JSON file; --param beats it')
    .option('--id <run>', 'run id (default: made from pipeline and time)')
    .option('--wait', 'follow the run to its end; Ctrl-C stops following only')
    .option(
      '--remote',
      'try the code as it is on the workers of the cluster, without making it current, and follow the run',
    )
    .option('--budget <amount>', 'what it may cost on pools with a price; then it is stopped')
    .option('--sign', 'sign the start with your approver key, for gates that exclude who started the run')
    .option('--key <file>', 'sign the start with this Ed25519 key')
    .option('--no-cache', 'run every step, whatever the cache holds')
    .option('--refresh <step>', 'run this step again and keep its new result; may be repeated', collect, [])
    .option('--verify <depth>', 'of cached results: size (default) looks for their files, full reads them')
    .addHelpText(
      'after',
      examples(
        'anneal run churn-training',
        'anneal run churn-training --param table=wa_churn --wait',
        'anneal run churn-training --remote',
        'anneal run churn-training --params-file nightly.json --json',
      ),
    );
}

function addViews(add: Add): void {
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
    'cost',
    'What runs cost on pools with a price, summed up',
    async () => (await import('./commands/cost.js')).cost,
  )
    .option('--by <what>', 'owner (default), pipeline or pool')
    .option('--since <duration>', 'runs that began in that time (default: 30d)')
    .addHelpText('after', examples('anneal cost', 'anneal cost --by pool --since 7d --json'));
  add(
    'top',
    'Pools, open runs, what is stuck and what waits for people, live',
    async () => (await import('./commands/top.js')).top,
  ).addHelpText('after', examples('anneal top', 'anneal top --json'));
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
}

function addEnds(add: Add): void {
  add(
    'cancel <run>',
    'Ask a run to stop, and wait until everything of it has ended',
    async () => (await import('./commands/cancel.js')).cancel,
  ).addHelpText('after', examples('anneal cancel RUN'));
  add(
    'terminate <run>',
    'End a run at once, without its own clean-up',
    async () => (await import('./commands/terminate.js')).terminate,
  )
    .option('--reason <text>', 'why, for the record')
    .addHelpText('after', examples("anneal terminate RUN --reason 'its code cannot end'"));
}

function addOperations(add: Add): void {
  add(
    'retry [run]',
    'Take up the finished work of a run that has ended, in a new run',
    async () => (await import('./commands/retry.js')).retry,
  )
    .option('--from <step>', 'run this step again, and all that ended after it')
    .option('--code <which>', 'new: the current build (default); same: the build of the first run')
    .option('--budget <amount>', 'what the new run may cost (default: as much again as the first)')
    .option('--keep-approvals', 'approvals count again where their digest is the same')
    .option('--id <run>', 'id of the new run (default: RUN.r2, RUN.r3, ...)')
    .option('--wait', 'follow the run to its end; Ctrl-C stops following only')
    .option('--sign', 'sign the start with your approver key, for gates that exclude who started the run')
    .option('--key <file>', 'sign the start with this Ed25519 key')
    .option('--state <state>', 'many runs: those in this state')
    .option('--pipeline <name>', 'many runs: only of this pipeline')
    .option('--limit <count>', 'many runs: at most so many (default: 20)')
    .option('--yes', 'many runs: do not ask')
    .option('--as-of <time>', 'many runs: those that were shown with this time, and none that came since')
    .addHelpText(
      'after',
      examples(
        'anneal retry RUN',
        'anneal retry RUN --from train-model --wait',
        'anneal retry --state failed --pipeline churn-training --yes',
      ),
    );
  add(
    'pause <run>',
    'Start nothing new in a run; what runs goes on to its end',
    async () => (await import('./commands/steer.js')).pause,
  )
    .option('--reason <text>', 'why, shown with the run')
    .addHelpText('after', examples("anneal pause RUN --reason 'the source is down'"));
  add(
    'resume <run>',
    'Let a paused run go on',
    async () => (await import('./commands/steer.js')).resume,
  ).addHelpText('after', examples('anneal resume RUN'));
  add(
    'set <run> [step]',
    "Change time limit, memory or pool of a step's next attempts, or what the run may cost",
    async () => (await import('./commands/steer.js')).set,
  )
    .option('--timeout <duration>', 'such as 2h')
    .option('--memory <amount>', 'such as 16Gi')
    .option('--pool <name>', 'a pool of the run')
    .option('--budget <amount>', 'what the whole run may cost')
    .addHelpText(
      'after',
      examples('anneal set RUN train-model --timeout 6h --memory 32Gi', 'anneal set RUN --budget 200'),
    );
}

function addCommand(add: Add): void {
  add(
    'command <run> <step> <name>',
    'Send a command to a running step, such as stop-early',
    async () => (await import('./commands/command.js')).command,
  )
    .option('--param <name=value>', 'a parameter of the command; may be repeated', collect, [])
    .option('--id <id>', 'send a command again that was not confirmed: it is carried out once')
    .addHelpText(
      'after',
      examples(
        'anneal command RUN train-model stop-early',
        'anneal command RUN train-model set-learning-rate --param rate=0.001',
      ),
    );
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

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
