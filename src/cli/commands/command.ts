import type { CommandAnswer } from '../../core/step-command.js';
import type { Json } from '../../core/json.js';
import { AnnealError } from '../../core/failures.js';
import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';
import { userName } from '../user-name.js';

/** `anneal command RUN STEP NAME`: a command into a running training, and its answer. */
export const command: Command = async (context, [runId = '', step = '', name = ''], { param = [], id }) => {
  const client = await (await context.openProject()).client();
  const answer = await client.command(runId, {
    ...{ step, command: name, parameters: readValues(param) },
    by: userName(context.env),
    ...(id === undefined ? {} : { id }),
  });
  context.terminal.show({ runId, step, command: name, ...answer }, () => said(step, name, answer));
  return EXIT.ok;
};

/** The run knows the types, and refuses what does not fit: what is JSON is read as such, all else is text. */
function readValues(texts: readonly string[]): { readonly [name: string]: Json } {
  const values: Record<string, Json> = {};
  for (const text of texts) {
    const cut = text.indexOf('=');
    if (cut < 1)
      throw new AnnealError('InvalidCommand', `"${text}" is not a parameter; write --param name=value.`);
    values[text.slice(0, cut)] = readValue(text.slice(cut + 1));
  }
  return values;
}

function readValue(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function said(step: string, name: string, answer: CommandAnswer): string {
  switch (answer.state) {
    case 'answered':
      return `"${step}" answers to ${name}: ${visible(JSON.stringify(answer.answer))}`;
    case 'delivered':
      return `${name} lies there for "${step}" as its command ${answer.number}; it has not answered yet.`;
    case 'waiting':
      return `"${step}" has not begun its command yet; it gets ${name} then.`;
    case 'ended':
      return `The attempt of "${step}" has ended; nothing was delivered.`;
  }
}
