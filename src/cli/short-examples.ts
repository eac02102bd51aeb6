import type { Command as Commander } from 'commander';
import { examples } from './add-command.js';

/** Examples of commands that need no more than a line or two, by the words of the command. */
const SHORT_EXAMPLES: { readonly [words: string]: readonly string[] } = {
  start: ['anneal start', 'anneal start --pipeline churn-training --exit'],
  up: ['anneal up'],
  down: ['anneal down'],
  dev: ['anneal dev'],
  versions: ['anneal versions', 'anneal versions --json'],
  rollback: ['anneal rollback churn-predictor', 'anneal rollback churn-predictor --alias challenger'],
  demote: ['anneal demote churn-predictor', 'anneal demote churn-predictor --alias challenger'],
  repair: ['anneal repair churn-predictor'],
  'schedule apply': ['anneal schedule apply --dry-run', 'anneal schedule apply'],
  'schedule list': ['anneal schedule list'],
  'schedule pause': ['anneal schedule pause nightly'],
  'schedule resume': ['anneal schedule resume nightly'],
  'schedule trigger': ['anneal schedule trigger nightly'],
  'schedule triggers': ['anneal schedule triggers'],
  'schedule history': ['anneal schedule history nightly'],
  'schedule delete': ['anneal schedule delete nightly'],
  'cache list': ['anneal cache list'],
  'cache clear': ['anneal cache clear --step compute-features'],
  'hold list': ['anneal hold list'],
  'hold remove': ['anneal hold remove RUN', 'anneal hold remove model:churn-predictor'],
  doctor: ['anneal doctor', 'anneal doctor --kubernetes'],
};

/** Adds them to a program whose commands are all there. */
export function addShortExamples(command: Commander, words: readonly string[] = []): void {
  const lines = SHORT_EXAMPLES[words.join(' ')];
  if (lines) command.addHelpText('after', examples(...lines));
  for (const below of command.commands) addShortExamples(below, [...words, below.name()]);
}
