import { invalidArgument } from './errors.js';

/**
 * A value for a search filter, quoted. MLflow's filter parser does not un-escape quotes, so only
 * `[A-Za-z0-9._:/-]` is let through; hash anything else before it becomes a tag to search by.
 * Throws INVALID_ARGUMENT.
 */
export function filterValue(value: string): string {
  if (!/^[A-Za-z0-9._:/-]+$/.test(value)) {
    throw invalidArgument(
      `The filter value ${JSON.stringify(value)} cannot be quoted safely (allowed: letters, digits, . _ : / -). Search by a hash of it instead.`,
    );
  }
  return `'${value}'`;
}

/** `` tags.`key` = 'value' ``. Throws INVALID_ARGUMENT. */
export function tagFilter(key: string, value: string): string {
  return `tags.${filterKey(key)} = ${filterValue(value)}`;
}

/** `key = 'value'` for attributes such as `name`, `run_id` or `attributes.status`. Throws INVALID_ARGUMENT. */
export function attributeFilter(attribute: string, value: string): string {
  if (!/^[a-z_]+(\.[a-z_]+)?$/.test(attribute)) {
    throw invalidArgument(
      `"${attribute}" is not the name of a search attribute, such as run_id or attributes.status.`,
    );
  }
  return `${attribute} = ${filterValue(value)}`;
}

/** All of the conditions; MLflow's language knows nothing but AND. */
export function allOf(...conditions: readonly string[]): string {
  return conditions.join(' AND ');
}

function filterKey(key: string): string {
  if (!/^[A-Za-z0-9._:/ -]+$/.test(key)) {
    throw invalidArgument(
      `The filter key ${JSON.stringify(key)} cannot be quoted safely (allowed: letters, digits, space, . _ : / -). Choose another key.`,
    );
  }
  return `\`${key}\``;
}
