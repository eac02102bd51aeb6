import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { SystemActivities } from '../core/activities.js';
import { createCloseRun, type CloseRunDeps } from '../activities/close-run.js';
import { createNotifyActivities, type NotifyDeps } from '../activities/notify.js';
import type { ModelRegistry } from '../activities/ports/model-registry.js';
import type { RunDirectory } from '../activities/ports/run-directory.js';
import type { Notifier } from '../activities/ports/notifier.js';
import type { Tracking } from '../activities/ports/tracking.js';
import { createSweep } from '../activities/sweep.js';
import { createEmailNotifier } from '../adapters/notifiers/email.js';
import { createSlackNotifier } from '../adapters/notifiers/slack.js';
import { createWebhookNotifier } from '../adapters/notifiers/webhook.js';
import { loadSecretValues, readSecret } from '../adapters/process-executor/secrets.js';
import type { ProjectConfig } from '../config/project-config.js';
import { deliveryWorkflowId, DELIVERY_WORKFLOW, type Notification } from '../core/notifications.js';
import { systemTaskQueue } from '../core/run.js';
import type { TriggerSource } from '../core/triggers.js';
import { withoutCredentials } from '../core/without-credentials.js';
import { createRoutes, type RoutesDeps } from './notification-routes.js';
import { createRunDirectory } from './run-directory.js';
import { createScheduleDirectory } from './schedule-directory.js';
import { createTriggerDirectory, type TriggerDirectoryDeps } from './trigger-directory.js';

/** What telling people is made from. */
interface TellingSetting {
  readonly config: ProjectConfig;
  readonly services: { readonly temporalUiUrl?: string; readonly trackingUri?: string };
  readonly client: Client;
  readonly env: NodeJS.ProcessEnv;
  readonly log: (message: string) => void;
}

type Deps = Pick<NotifyDeps, 'store' | 'clock' | 'context'> & {
  readonly tracking?: Tracking;
  readonly registry?: Pick<ModelRegistry, 'readModel'>;
  /** Told of what triggers may wait for. */
  readonly wake: (source: TriggerSource) => Promise<void>;
} & Pick<CloseRunDeps, 'readBuildCode'> &
  RoutesDeps &
  Pick<TriggerDirectoryDeps, 'readCurrent'>;

/** Puts together what ends runs and tells of it: channels as anneal.yaml names them, secrets as this machine has them. */
export function composeTelling(
  setting: TellingSetting,
  deps: Deps,
): Pick<SystemActivities, 'closeRun' | 'notify' | 'recordNotification' | 'deliverNotification' | 'sweep'> {
  const { config, client, log } = setting;
  const directory = createRunDirectory(client, config.project);
  const notifying = composeNotifying(setting, deps, directory);
  const closing = createCloseRun({
    ...{ ...deps, log },
    onEnd: async (pipeline) => await deps.wake({ kind: 'run', pipeline }),
  });
  const sweeping = createSweep({
    ...deps,
    ...{ ...notifying, ...closing, directory, log },
    schedules: createScheduleDirectory(client, config.project),
    triggers: createTriggerDirectory({
      ...{ client, directory, project: config.project, readCurrent: deps.readCurrent },
      ...(deps.registry && { registry: deps.registry }),
    }),
    project: config.project,
    routesOf: createRoutes(config, deps),
  });
  return { ...notifying, ...closing, ...sweeping };
}

function composeNotifying(
  { config, services, client, env }: TellingSetting,
  { store, clock, context }: Deps,
  directory: RunDirectory,
): ReturnType<typeof createNotifyActivities> {
  const sources = { env, ...(config.secrets === undefined ? {} : { secretsFile: config.secrets }) };
  const { temporalUiUrl, trackingUri } = services;
  return createNotifyActivities({
    ...{ store, clock, context },
    notifiers: createNotifiers(config, sources),
    links: {
      ...(temporalUiUrl === undefined ? {} : { temporalUiUrl }),
      ...(trackingUri === undefined ? {} : { trackingUiUrl: withoutCredentials(trackingUri) }),
    },
    startDelivery: async (notification) => await startDelivery(client, config.project, notification),
    failedBefore: async ({ pipeline }) => pipeline !== undefined && (await directory.lastFailed(pipeline)),
    loadRedaction: async () => createRedaction(await loadSecretValues(sources)),
  });
}

type Sources = Parameters<typeof readSecret>[1];

function createNotifiers({ smtp, notifiers }: ProjectConfig, sources: Sources): Notifier[] {
  const { url, from, secret } = smtp;
  const keyOf = (name: string, key: string) => async () => await readSecret({ name, key }, sources);
  const credentials = secret && {
    credentials: async () => ({
      user: await readSecret({ name: secret, key: 'username' }, sources),
      pass: await readSecret({ name: secret, key: 'password' }, sources),
    }),
  };
  return [
    ...(url === undefined
      ? []
      : [createEmailNotifier({ smtpUrl: url, ...(from === undefined ? {} : { from }), ...credentials })]),
    ...Object.entries(notifiers).map(([name, notifier]) =>
      notifier.type === 'slack'
        ? createSlackNotifier({ name, url: keyOf(notifier.secret, 'url') })
        : createWebhookNotifier({
            name,
            url: async () => await Promise.resolve(notifier.url),
            key: keyOf(notifier.secret, 'key'),
          }),
    ),
  ];
}

/** One workflow for one message: it is enough that one was started for it before. */
async function startDelivery(client: Client, project: string, notification: Notification): Promise<void> {
  try {
    await client.workflow.start(DELIVERY_WORKFLOW, {
      workflowId: deliveryWorkflowId(project, notification),
      taskQueue: systemTaskQueue(project),
      args: [notification],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: notification.subject.slice(0, 200),
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

/** Shorter values stand in every text. */
const SECRET_LENGTH = 6;

function createRedaction(secrets: readonly string[]): (text: string) => string {
  const values = secrets
    .filter((value) => value.length >= SECRET_LENGTH)
    .toSorted((a, b) => b.length - a.length);
  return (text) => values.reduce((cleaned, value) => cleaned.replaceAll(value, '[hidden]'), text);
}
