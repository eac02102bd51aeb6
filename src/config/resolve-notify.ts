import { AnnealError } from '../core/failures.js';
import { addressProblem, NOTIFY_KEYS, type NotifyOptions } from '../core/notification-routes.js';
import type { ConfigFile } from './config-schema.js';
import type { NotifierConfig, ProjectConfig } from './project-config.js';

/**
 * Channels and who is told, checked against each other.
 * @throws AnnealError InvalidConfig.
 */
export function resolveNotify(
  { notifiers: written = {}, notify: told = {} }: ConfigFile,
  file: string,
): Pick<ProjectConfig, 'notifiers' | 'notify'> {
  const notifiers = Object.fromEntries(
    Object.entries(written).map(([name, notifier]) => [name, resolveNotifier(name, notifier, file)]),
  );
  const notify: { -readonly [key in keyof NotifyOptions]: readonly string[] } = {};
  for (const key of NOTIFY_KEYS) {
    const addresses = told[key];
    if (addresses === undefined) continue;
    for (const address of addresses) {
      const problem = addressProblem(address, notifiers);
      if (problem !== undefined)
        throw invalid(`"${address}" in notify.${key} of ${file} ${problem}. Correct it.`);
    }
    notify[key] = addresses;
  }
  return { notifiers, notify };
}

function resolveNotifier(
  name: string,
  { type, secret, url }: NonNullable<ConfigFile['notifiers']>[string],
  file: string,
): NotifierConfig {
  if (type === 'slack') {
    if (url === undefined) return { type, secret };
    throw invalid(
      `notifiers.${name}.url in ${file} is the address of a Slack webhook, which is a credential; this file is not the place for one. Remove it here and set it as key url of the secret "${secret}".`,
    );
  }
  if (url !== undefined && new URL(url).password === '') return { type, secret, url };
  throw invalid(
    url === undefined
      ? `notifiers.${name} in ${file} is a webhook without url. Set the address that takes its messages.`
      : `notifiers.${name}.url in ${file} holds a password; this file is not the place for one. Remove it: receivers know the messages by their signature.`,
  );
}

function invalid(message: string): AnnealError {
  return new AnnealError('InvalidConfig', message);
}
