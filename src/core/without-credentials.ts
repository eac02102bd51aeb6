/** An address as people and histories may see it: without user name and password. What is no URL stays as it is. */
export function withoutCredentials(address: string): string {
  return address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}
