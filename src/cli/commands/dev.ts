import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from '../command.js';
import type { Project } from '../context.js';
import { keepServersAlive } from '../keep-servers-alive.js';
import { keepWorkerAlive } from '../keep-worker-alive.js';
import { EXIT } from '../report-error.js';
import { StartedParts, startStack } from '../start-stack.js';
import { stopStack } from '../stop-stack.js';
import type { Terminal } from '../terminal.js';

/** `anneal dev`: servers and worker until Ctrl-C, with the worker's log; changed code is built and becomes current. */
export const dev: Command = async (context, _args, options) => {
  const project = await context.openProject();
  const { terminal } = context;
  const parts = new StartedParts();
  await context.interruptible(async (signal) => {
    try {
      const { services, build, worker } = await startStack(project, { terminal, signal, parts });
      const names = build.manifest.pipelines.map((pipeline) => pipeline.name).join(', ');
      const { temporalUiUrl, trackingUiUrl } = await project.links();
      terminal.line(
        `Ready: ${names || 'no pipelines yet'}. Temporal ${temporalUiUrl ?? ''}, MLflow ${trackingUiUrl ?? ''}. Ctrl-C stops.`,
      );
      const say = (text: string) => terminal.line(text);
      const keeper = keepWorkerAlive({ stack: project.stack, first: worker, say, onStart: parts.onWorker });
      const servers = keepServersAlive({
        stack: project.stack,
        first: services,
        say,
        onMoved: async () => await keeper.replace(),
      });
      const stopWatching = await watchCode(project, terminal, build.inputs);
      try {
        const log = showLog(await project.stack.workerLog(), { terminal, signal });
        await Promise.race([log, keeper.failed, servers.failed]);
      } finally {
        stopWatching();
        keeper.stop();
        await servers.stop();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await stopStack(project, { terminal, parts, options });
    }
  });
  return EXIT.ok;
};

/** Builds after every change; a fault is shown and the last good build stays current. */
async function watchCode(
  project: Project,
  terminal: Terminal,
  inputs: readonly string[],
): Promise<() => void> {
  return await project.watch({
    inputs,
    onBuild: (build) =>
      terminal.line(
        terminal.colors.green(`Build ${build.digest.slice(0, 12)} is current; open runs stay on theirs.`),
      ),
    onError: (message) =>
      terminal.error(
        `${terminal.colors.red(message)}\nThe last good build stays current until this is mended.`,
      ),
    onMended: (digest) =>
      terminal.line(
        terminal.colors.green(`Mended: the code is that of build ${digest.slice(0, 12)}, which is current.`),
      ),
  });
}

const POLL_MS = 200;

/** Copies what is appended to the log until the signal. */
async function showLog(
  file: string,
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
): Promise<void> {
  const log = await open(file, 'r');
  try {
    let { size: offset } = await log.stat();
    const buffer = new Uint8Array(64 * 1024);
    const decoder = new TextDecoder();
    while (!signal.aborted) {
      // The worker cuts a log that has grown too large, and goes on at its beginning.
      if ((await log.stat()).size < offset) offset = 0;
      const { bytesRead } = await log.read(buffer, 0, buffer.length, offset);
      offset += bytesRead;
      if (bytesRead > 0) terminal.write(decoder.decode(buffer.subarray(0, bytesRead), { stream: true }));
      else await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await log.close();
  }
}
