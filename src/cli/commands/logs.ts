import type { Command } from '../command.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { visible } from '../run-text.js';

/** `anneal logs RUN [STEP]`: what the steps print, whole and in order; with `--follow` until the run has ended. */
export const logs: Command = async (context, [runId = '', step], { follow }) => {
  const { terminal, interruptible } = context;
  const client = await (await context.openProject()).client();
  const pieces: unknown[] = [];
  return await interruptible(async (signal) => {
    const writer = createWriter(
      (text) => terminal.write(text),
      (title) => terminal.colors.dim(title),
    );
    try {
      for await (const chunk of client.logs(runId, {
        signal,
        ...(step === undefined ? {} : { step }),
        ...(follow === true ? { follow } : {}),
      })) {
        if (terminal.json) pieces.push(chunk);
        else
          writer.write(
            `${chunk.step}, attempt ${chunk.attempt}`,
            terminal.interactive ? withoutControl(chunk.text) : chunk.text,
          );
      }
      if (terminal.json) terminal.show(pieces, () => '');
      else if (writer.empty()) terminal.line(`No step of ${runId} has printed anything yet.`);
      return EXIT.ok;
    } catch (error) {
      if (signal.aborted) return EXIT_INTERRUPTED;
      throw error;
    } finally {
      writer.end();
    }
  });
};

/** A heading whenever the output of another attempt begins; never in the middle of a line. */
function createWriter(write: (text: string) => void, paint: (title: string) => string) {
  let current: string | undefined;
  let atLineStart = true;
  return {
    write: (title: string, text: string) => {
      if (title !== current) write(`${atLineStart ? '' : '\n'}${paint(`── ${title} ──`)}\n`);
      current = title;
      write(text);
      if (text !== '') atLineStart = text.endsWith('\n');
    },
    empty: () => current === undefined,
    end: () => {
      if (!atLineStart) write('\n');
    },
  };
}

function withoutControl(text: string): string {
  return text
    .split('\n')
    .map((line) => visible(line.split('\r').at(-1) ?? line))
    .join('\n');
}
