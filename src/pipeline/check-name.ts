const NAME = /^[a-z][a-z0-9-]{0,62}$/;

/** @throws TypeError for a name that Kubernetes and Temporal would not both take. */
export function checkName(what: string, name: string): void {
  if (!NAME.test(name))
    throw new TypeError(
      `${what} "${name}" must start with a letter and hold only lower-case letters, digits and dashes, 63 at most.`,
    );
}
