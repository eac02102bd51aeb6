import type { Command } from '../command.js';
import { projectOption } from '../project-option.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { withoutCredentials } from '../../core/without-credentials.js';
import { startStack } from '../start-stack.js';

/** `anneal up`: local servers and the worker in the background. Repeating it is harmless, and makes changed code current. */
export const up: Command = async (context, _args, options) => {
  const project = await context.openProject();
  const { terminal } = context;
  const stack = await context.interruptible(async (signal) => {
    try {
      return await startStack(project, { terminal, signal });
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  });
  if (stack === undefined) {
    terminal.error('Interrupted. What has been started goes on; stop it with: anneal down');
    return EXIT_INTERRUPTED;
  }
  const { services, build, worker } = stack;
  const links = await project.links();
  const document = {
    temporal: {
      address: services.temporal.address,
      uiUrl: links.temporalUiUrl,
      external: services.temporal.external,
    },
    mlflow: {
      trackingUri: withoutCredentials(services.mlflow.trackingUri),
      external: services.mlflow.external,
    },
    worker: { pid: worker.process.pid, build: build.digest, started: worker.started },
    pipelines: build.manifest.pipelines.map((pipeline) => pipeline.name),
  };
  terminal.show(document, () =>
    [
      terminal.colors.green('Up.'),
      `  Temporal ${services.temporal.address}${links.temporalUiUrl === undefined ? '' : `, Web UI ${links.temporalUiUrl}`}`,
      `  MLflow   ${document.mlflow.trackingUri}`,
      `  Worker   process ${worker.process.pid}, build ${build.digest.slice(0, 12)}`,
      `  Next: anneal run ${document.pipelines[0] ?? 'PIPELINE'}${projectOption(options)} --wait`,
    ].join('\n'),
  );
  return EXIT.ok;
};
