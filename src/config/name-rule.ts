/** Names of projects, pools, pipelines, steps and tasks: they become task queues, directories and label values. */
export const NAME_PATTERN = /^[a-z][a-z0-9-]{0,62}$/;

/** {@link NAME_PATTERN} in words. */
export const NAME_RULE =
  'a name of lower-case letters, digits and hyphens that begins with a letter, 63 characters at most';

/** Task queues of a project that are not a pool's. */
export const RESERVED_POOLS = ['control', 'pipelines', 'anneal'] as const;
