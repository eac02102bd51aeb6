import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import { CONTAINERS } from '../labels.js';
import { ownFault } from './diagnose-end.js';
import type { Diagnosis } from './diagnosis.js';
import { containerStatus, said, timeOf } from './pod-facts.js';

type Active = Extract<Diagnosis, { state: 'active' }>;

/**
 * What is wrong with the agent of a pod whose step runs: without it nothing is stored, and the step's container waits for ever at its end. The
 * kubelet starts it again, with growing pauses; what it stored is kept, and the next attempt goes on from the last checkpoint.
 */
export function diagnoseAgent(pod: V1Pod, nowMs: number): Pick<Active, 'detail' | 'limit'> {
  const agent = containerStatus(pod, CONTAINERS.agent);
  const ended = agent?.state?.terminated ?? agent?.lastState?.terminated;
  if (agent === undefined || agent.state?.running !== undefined || ended === undefined) return {};
  const { reason, message } = agent.state?.waiting ?? {};
  const end = `exit code ${ended.exitCode}${ended.reason === undefined || ended.reason === 'Error' ? '' : `, ${ended.reason}`}`;
  const why = describeWaiting(agent, reason, message);
  return {
    detail: `its agent has ended (${end}) and is to be started again${why}`,
    limit: {
      atMs: (timeOf(ended.finishedAt) ?? nowMs) + AGENT_AWAY_MS,
      failure: ownFault(CONTAINERS.agent, ended) ?? {
        code: 'AttemptLost',
        message: `The agent of its pod ended (${end}) and was not there again ${AGENT_AWAY_MS / 60_000} minutes later${why}; without it nothing that the step makes is stored.`,
      },
    },
  };
}

/** An image that is pulled again, a pause between two starts. */
const AGENT_AWAY_MS = 240_000;

function describeWaiting({ image }: V1ContainerStatus, reason?: string, message?: string): string {
  if (reason === undefined || reason === 'PodInitializing' || reason === 'ContainerCreating') return '';
  const text = said(message);
  const of = /Image/.test(reason) ? ` image ${image}` : '';
  return `: ${reason}${of}${text === '' ? '' : ` (${text})`}`;
}
