import { examples, type Add } from './add-command.js';

/** The commands for new code under running runs. */
export function addVersionCommands(add: Add): void {
  add(
    'deploy',
    'Build the code and let new runs use it, all of them or a share',
    async () => (await import('./commands/deploy.js')).deploy,
  )
    .option('--ramp <percent>', 'only this share of new runs, such as 10')
    .option('--rollback', 'take the last step back: end the ramp, else make the build before current')
    .option('--build <digest>', 'this build instead of the code as it is (its first characters will do)')
    .option(
      '--drain',
      'wait until no open run is on a build that new runs do not use; Ctrl-C stops waiting only',
    )
    .addHelpText(
      'after',
      examples(
        'anneal deploy --ramp 10',
        'anneal deploy',
        'anneal deploy --rollback',
        'anneal deploy --drain',
      ),
    );
  add('versions', 'Which builds runs are on', async () => (await import('./commands/versions.js')).versions);
  add(
    'migrate <run>',
    'Move an open run to another build, if its history agrees with that',
    async () => (await import('./commands/migrate.js')).migrate,
  )
    .option('--to <digest>', 'the build (default: the current one)')
    .option('--force', 'do not compare its history with the code of that build first')
    .addHelpText('after', examples('anneal migrate RUN', 'anneal migrate RUN --to 4f2a91c0b2d4'));
  add(
    'replay',
    'Whether runs could go on with the code as it is; exit code 1 when one could not',
    async () => (await import('./commands/replay.js')).replay,
  )
    .option('--since <duration>', 'open runs, and those that ended in this time (default: 7d)')
    .option('--histories <dir>', 'recorded histories instead of runs on the server')
    .option('--save <dir>', 'record a history of each kind of run that was found')
    .option('--build <digest>', 'this build instead of the code as it is')
    .option('--limit <count>', 'at most so many runs (default: 1000)')
    .addHelpText(
      'after',
      examples(
        'anneal replay --since 7d',
        'anneal replay --save test/histories',
        'anneal replay --histories test/histories',
      ),
    );
}
