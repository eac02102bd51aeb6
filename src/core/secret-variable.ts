import type { SecretRef } from './step.js';

type Secret = SecretRef['secret'];

/** Name of the environment variable that holds a secret: `ANNEAL_SECRET_<NAME>_<KEY>`. */
export function secretVariable(secret: Secret): string {
  return `ANNEAL_SECRET_${secret.name}_${secret.key}`.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

/** One sentence for each pair of different secrets that one variable would have to hold; neither could be told from the other. */
export function secretClashes(secrets: readonly Secret[]): string[] {
  const first = new Map<string, Secret>();
  const clashes = new Set<string>();
  for (const secret of secrets) {
    const variable = secretVariable(secret);
    const other = first.get(variable);
    if (other === undefined) first.set(variable, secret);
    else if (other.name !== secret.name || other.key !== secret.key)
      clashes.add(
        `${shown(other)} and ${shown(secret)} are different secrets of one environment variable, ${variable}. Rename one of them.`,
      );
  }
  return [...clashes];
}

function shown({ name, key }: Secret): string {
  return `secret('${name}', '${key}')`;
}
