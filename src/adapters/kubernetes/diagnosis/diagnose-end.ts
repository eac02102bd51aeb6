import type { V1ContainerStateTerminated, V1Pod } from '@kubernetes/client-node';
import { failureCodeOfExit } from '../../../core/failures.js';
import { readLastMessage } from '../../../core/pod-last-message.js';
import { UPLOAD_FAILED_EXIT } from '../../../core/pod-layout.js';
import { programFaultOfLog, programFaultSentence } from '../../../core/program-fault.js';
import { CONTAINERS } from '../labels.js';
import type { DiagnosedFailure, SeenAttempt } from './diagnosis.js';
import { conditionOf, containerStatus, containerStatuses, said } from './pod-facts.js';

/**
 * How a pod ended of which the store has no outcome. The cluster's reasons go before the containers', and of these the init containers' before
 * the step's.
 */
export function diagnoseEnd(pod: V1Pod, { pool }: Pick<SeenAttempt, 'pool'>): DiagnosedFailure {
  return takenAway(pod) ?? diagnosePreparation(pod) ?? diagnoseMain(pod, pool);
}

/** A pod that disappeared without having ended, as it was last seen. */
export function diagnoseGone(pod: V1Pod | undefined): DiagnosedFailure {
  return (
    (pod && takenAway(pod)) ?? {
      code: 'PodDeleted',
      message: 'Its pod was deleted, and not by Anneal. To stop a step, cancel its run.',
    }
  );
}

/** Whether an end says that whoever had the machine took the pod away. */
function takenAway(pod: V1Pod): DiagnosedFailure | undefined {
  const { reason, message } = pod.status ?? {};
  const text = said(message);
  const node = pod.spec?.nodeName ?? 'its node';
  if (reason === 'Evicted')
    return OWN_STORAGE.test(text)
      ? {
          code: 'StorageExceeded',
          message: `It wrote more to the disk of ${node} than it may: ${text}. Raise resources.ephemeralStorage, or write to resources.scratch.`,
        }
      : { code: 'Evicted', message: `Node ${node} ran short and evicted the pod: ${text}.` };
  if (reason === 'DeadlineExceeded')
    return {
      code: 'StepTimedOut',
      message:
        'Its pod was still there when its deadline passed, which counts images, inputs and uploads beside the timeout of the command.',
    };
  if (reason !== undefined && NODE_ENDED.has(reason))
    return {
      code: 'NodeLost',
      message: `Node ${node} was shut down (${reason})${text === '' ? '' : `: ${text}`}.`,
    };
  if (reason !== undefined && NOT_ADMITTED.test(reason))
    return { code: 'Evicted', message: `Node ${node} did not admit the pod (${reason}): ${text}.` };
  const target = conditionOf(pod, 'DisruptionTarget');
  if (target?.status !== 'True') return undefined;
  const why = said(target.message);
  switch (target.reason ?? '') {
    case 'PreemptionByScheduler':
      return { code: 'Preempted', message: `A pod of higher priority took its place on ${node}: ${why}.` };
    case 'DeletionByTaintManager':
    case 'DeletionByPodGC':
      return { code: 'NodeLost', message: `Node ${node} was lost or tainted: ${why}.` };
    case 'EvictionByEvictionAPI':
      return {
        code: 'Evicted',
        message: `Its pod was evicted from ${node}, as when a node is drained: ${why}.`,
      };
    default:
      return {
        code: 'Evicted',
        message: `Its pod was taken from ${node} (${target.reason ?? 'no reason'}): ${why}.`,
      };
  }
}

/** What the pod itself has used up. */
const OWN_STORAGE =
  /exceeds the total limit of containers|exceeded its local ephemeral storage limit|exceeds the limit/i;
const NODE_ENDED = new Set(['NodeLost', 'Shutdown', 'Terminated', 'NodeShutdown']);
const NOT_ADMITTED =
  /^(NodeAffinity|UnexpectedAdmissionError|Preempting|OutOf.+|PodOSNotSupported|NodeName|NodePorts|TopologyAffinityError|Taint.*)$/;

function diagnosePreparation(pod: V1Pod): DiagnosedFailure | undefined {
  const fetch = containerStatus(pod, CONTAINERS.fetch)?.state?.terminated;
  if (fetch !== undefined && fetch.exitCode !== 0)
    return (
      startError(fetch, CONTAINERS.fetch) ??
      ownFault(CONTAINERS.fetch, fetch) ??
      readLastMessage(fetch.message ?? '') ?? {
        code: 'AttemptLost',
        message: `Its pod could not be prepared (container fetch, ${exitText(fetch)})${lastWords(fetch)}`,
      }
    );
  return agentNeverServed(pod);
}

function agentNeverServed(pod: V1Pod): DiagnosedFailure | undefined {
  const main = containerStatus(pod, CONTAINERS.main)?.state;
  const agent = containerStatus(pod, CONTAINERS.agent);
  const ended = agent?.state?.terminated ?? agent?.lastState?.terminated;
  if (main?.terminated === undefined && main?.running === undefined && ended !== undefined)
    return (
      startError(ended, CONTAINERS.agent) ??
      ownFault(CONTAINERS.agent, ended) ?? {
        code: 'AttemptLost',
        message: `The agent of its pod ended before the step began (${exitText(ended)})${lastWords(ended)}`,
      }
    );
  return undefined;
}

function diagnoseMain(pod: V1Pod, pool: string): DiagnosedFailure {
  const status = containerStatus(pod, CONTAINERS.main);
  const main = status?.state?.terminated;
  if (main === undefined)
    return {
      code: 'AttemptLost',
      message: `Its pod ended before the step began${containerStatuses(pod).length === 0 ? ', and no container of it was ever started' : ''}.`,
    };
  if ([main.reason, status?.lastState?.terminated?.reason].includes('OOMKilled'))
    return outOfMemory(pod, main);
  if (main.reason === 'ContainerStatusUnknown')
    return {
      code: 'NodeLost',
      message: `Node ${pod.spec?.nodeName ?? ''} lost the container, and does not know how it ended.`,
    };
  return startError(main, CONTAINERS.main) ?? diagnoseExit(pod, main, pool);
}

function outOfMemory(pod: V1Pod, { exitCode }: V1ContainerStateTerminated): DiagnosedFailure {
  const container = pod.spec?.containers.find(({ name }) => name === CONTAINERS.main);
  const limit = container?.resources?.limits?.['memory'];
  const held = limit === undefined ? 'no limit of its own: that of the node' : `limit ${limit}`;
  return {
    code: 'OutOfMemory',
    message: `It ran out of memory (${held}, exit code ${exitCode}). Raise resources.memory or set retry.outOfMemory.`,
    exitCode,
  };
}

function diagnoseExit(pod: V1Pod, main: V1ContainerStateTerminated, pool: string): DiagnosedFailure {
  const { exitCode } = main;
  switch (exitCode) {
    case UPLOAD_FAILED_EXIT:
      return uploadFailed(pod, exitCode);
    case 0:
      return {
        code: 'AttemptLost',
        message:
          'Its pod ended well, and the store has no manifest of its outputs: the agent was ended before it could write one.',
      };
    case 137:
    case 143: {
      if (pod.metadata?.deletionTimestamp !== undefined) return diagnoseGone(undefined);
      const signal = exitCode === 137 ? 'SIGKILL' : 'SIGTERM';
      return {
        code: 'AttemptKilled',
        message: `It was ended by ${signal}, which Anneal did not send; pool "${pool}" shows no lack of memory.`,
        exitCode,
        signal,
      };
    }
    default:
      return {
        code: failureCodeOfExit(exitCode),
        message: `It ended with exit code ${exitCode}${lastWords(main)}`,
        exitCode,
      };
  }
}

/** The agent says why: the last words of the step's container are its command's. */
function uploadFailed(pod: V1Pod, exitCode: number): DiagnosedFailure {
  const agent = containerStatus(pod, CONTAINERS.agent);
  const { message = '' } = agent?.state?.terminated ?? agent?.lastState?.terminated ?? {};
  const why = said(message.trim().split('\n').at(-1)).replace(
    /^(Step "[^"]*": )?its outputs could not be stored: /i,
    '',
  );
  return {
    code: 'UploadFailed',
    message: `Its outputs could not be stored${why === '' ? '' : `: ${why}`}.`,
    exitCode,
  };
}

function startError(ended: V1ContainerStateTerminated, container: string): DiagnosedFailure | undefined {
  const { reason, message } = ended;
  return reason === 'StartError' || reason === 'ContainerCannotRun'
    ? {
        code: 'ContainerStartFailed',
        message: `Container "${container}" could not be started: ${said(message)}. Correct the image or the command.`,
      }
    : undefined;
}

/** A program of ours that broke off before it could say anything. */
export function ownFault(
  container: string,
  { message }: Pick<V1ContainerStateTerminated, 'message'>,
): DiagnosedFailure | undefined {
  const fault = programFaultOfLog(message ?? '');
  return fault === undefined
    ? undefined
    : { code: 'InvalidConfig', message: programFaultSentence(container, said(fault)) };
}

function exitText({ exitCode, reason }: V1ContainerStateTerminated): string {
  return `exit code ${exitCode}${reason === undefined || reason === 'Error' ? '' : `, ${reason}`}`;
}

function lastWords({ message }: V1ContainerStateTerminated): string {
  const last = (message ?? '').trim().split('\n').at(-1) ?? '';
  return last === '' ? '.' : `: ${said(last)}.`;
}
