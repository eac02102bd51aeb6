import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Directory of this package. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '');
}

/** Whether this package was installed with npm, rather than run from a clone. */
export function isInstalledPackage(): boolean {
  return /[/\\]node_modules[/\\]/.test(fileURLToPath(import.meta.url));
}
