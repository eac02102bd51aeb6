import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { startStack } from '../start-stack.js';

/** `anneal up`: local servers and the worker in the background. Repeating it is harmless, and makes changed code current. */
export const up: Command = async (context) => {
  const project = await context.openProject();
  const { terminal } = context;
  const { services, build, worker } = await context.interruptible(
    async (signal) => await startStack(project, { terminal, signal }),
  );
  const links = await project.links();
  const document = {
    temporal: {
      address: services.temporal.address,
      uiUrl: links.temporalUiUrl,
      external: services.temporal.external,
    },
    mlflow: { trackingUri: services.mlflow.trackingUri, external: services.mlflow.external },
    worker: { pid: worker.process.pid, build: build.digest, started: worker.started },
    pipelines: build.manifest.pipelines.map((pipeline) => pipeline.name),
  };
  terminal.show(document, () =>
    [
      terminal.colors.green('Up.'),
      `  Temporal ${services.temporal.address}${links.temporalUiUrl === undefined ? '' : `, Web UI ${links.temporalUiUrl}`}`,
      `  MLflow   ${services.mlflow.trackingUri}`,
      `  Worker   process ${worker.process.pid}, build ${build.digest.slice(0, 12)}`,
      `  Next: anneal run ${document.pipelines[0] ?? 'PIPELINE'} --wait`,
    ].join('\n'),
  );
  return EXIT.ok;
};
