import path from 'node:path';
import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { BUILD_FILES, type Build } from './build/build-manifest.js';
import { readHistory, type HistoryOrigin } from './history-shape.js';

/** A history to replay. */
export interface NamedHistory {
  /** What it is called in messages: a file, or a run. */
  readonly name: string;
  readonly history: History;
}

/** What came of replaying one history. */
export interface ReplayResult extends HistoryOrigin {
  readonly name: string;
  /** Why the build could not go on with this run; absent where it could. */
  readonly problem?: string;
}

/**
 * Runs histories through the workflow code of a build, without a server: whether runs that have come this far could go on with it.
 * Nothing is executed and nothing is changed.
 */
export async function* replayHistories(
  { build, dataConverter }: { readonly build: Build; readonly dataConverter: DataConverter },
  histories: Iterable<NamedHistory> | AsyncIterable<NamedHistory>,
): AsyncGenerator<ReplayResult & Pick<NamedHistory, 'history'>> {
  const replayed: { named?: NamedHistory } = {};
  const results = Worker.runReplayHistories(
    { workflowBundle: { codePath: path.join(build.dir, BUILD_FILES.workflows) }, dataConverter },
    (async function* () {
      for await (const named of histories) {
        replayed.named = named;
        yield { history: named.history, workflowId: readHistory(named.history).workflowId };
      }
    })(),
  );
  // One at a time, in order: the result is of the history that was asked for last.
  for await (const { error } of results) {
    const { named } = replayed;
    if (named === undefined) continue;
    const problem = error === undefined ? {} : { problem: sentenceOf(error) };
    yield { ...named, ...readHistory(named.history), ...problem };
  }
}

/** Of a failure of the runtime, what a person needs: which event of the history the code does not make. */
function sentenceOf({ message }: Error): string {
  const [first = ''] = message.replace(/^.*?\[TMPRL\d+\]\s*/s, '').split(/\n|", source: /);
  return first.slice(0, 500);
}
