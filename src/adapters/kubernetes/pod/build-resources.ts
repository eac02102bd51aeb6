import type { V1ResourceRequirements } from '@kubernetes/client-node';
import { gpuCount } from '../../../core/pools.js';
import { parseBytes } from '../../../core/quantity.js';
import type { JobRequest } from './job-request.js';

/** What `main` may use: what is asked is the limit, too. */
export function buildMainResources({ launch, placement }: JobRequest): V1ResourceRequirements {
  const amounts = amountsOf({ launch, placement });
  const count = gpuCount(launch.request.resources);
  const gpus = count === 0 ? {} : { [placement.gpuResource]: String(count) };
  return { requests: { ...amounts, ...gpus }, limits: { ...amounts, ...gpus } };
}

/** What `fetch` and `agent` may use: of the class Guaranteed where `main` is. */
export function buildAgentResources(job: Pick<JobRequest, 'launch' | 'placement'>): V1ResourceRequirements {
  const { cpu, memory } = amountsOf(job);
  const guaranteed = cpu !== undefined && memory !== undefined;
  const limits = { memory: AGENT_MEMORY };
  return guaranteed
    ? { requests: { cpu: AGENT_CPU, ...limits }, limits: { cpu: AGENT_CPU, ...limits } }
    : { requests: { cpu: AGENT_IDLE_CPU, ...limits }, limits };
}

const AGENT_MEMORY = '256Mi';
/** Hashing and TLS of uploads. */
const AGENT_CPU = '500m';
const AGENT_IDLE_CPU = '100m';

function amountsOf({ launch, placement }: Pick<JobRequest, 'launch' | 'placement'>): Record<string, string> {
  const { resources } = launch.request;
  const cpu = resources.cpu ?? placement.defaults.cpu;
  const memory = resources.memory ?? placement.defaults.memory;
  const disk = resources.ephemeralStorage ?? placement.defaults.ephemeralStorage;
  return {
    ...(cpu === undefined ? {} : { cpu: `${Math.max(1, Math.round(cpu * 1_000))}m` }),
    ...(memory === undefined ? {} : { memory: quantity(memory) }),
    ...(disk === undefined ? {} : { 'ephemeral-storage': quantity(disk) }),
  };
}

/** Whole bytes: fractions such as `1.5Gi` are milli-bytes to Kubernetes, which some controllers refuse. */
export function quantity(text: string): string {
  return text.includes('.') ? String(parseBytes(text)) : text;
}
