import { examples, type Add } from './add-command.js';

/** `anneal gc` and `anneal hold`. */
export function addRetentionCommands(add: Add, addHold: Add): void {
  add(
    'gc',
    'Remove what retention: in anneal.yaml does not keep; shows it and asks first',
    async () => (await import('./commands/gc.js')).gc,
  )
    .option('--dry-run', 'only say what would be removed')
    .option('--yes', 'do not ask')
    .option('--jobs', 'instead: Jobs on Kubernetes that no run waits for any more')
    .addHelpText('after', examples('anneal gc --dry-run', 'anneal gc --jobs --dry-run'));
  const load = async () => await import('./commands/hold.js');
  addHold(
    'add <subject>',
    'Keep everything of a run, or of the runs behind model:NAME',
    async () => (await load()).add,
  )
    .option('--reason <text>', 'why, for the record')
    .option('--by <name>', 'who asks, for the record (default: the user of this machine)')
    .addHelpText(
      'after',
      examples('anneal hold add RUN --reason "case 4711"', 'anneal hold add model:churn-predictor'),
    );
  addHold('remove <subject>', 'End a hold; the next gc decides anew', async () => (await load()).remove);
  addHold('list', 'List the holds', async () => (await load()).list);
}
