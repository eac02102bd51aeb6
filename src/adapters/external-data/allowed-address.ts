import { lookup as lookUp } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

import { AnnealError } from '../../core/failures.js';

/**
 * Whether an address is one of the public Internet. What is not: loopback, private, link-local (where clouds keep credentials), shared,
 * multicast, reserved, and IPv6 forms that wrap an IPv4 address. Source: IANA's special-purpose address registries.
 */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  return !blocked(family === 4 ? 'ipv4' : 'ipv6').check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * A look-up of names for a connection, so that what was checked is what is connected to.
 * @param allowed the operator allows this host, wherever it is.
 */
export function publicLookup(host: string, allowed: boolean): LookupFunction {
  return (name, options, callback) =>
    lookUp(name, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const [first] = addresses;
      const refused = allowed ? undefined : addresses.find(({ address }) => !isPublicAddress(address));
      if (refused) return callback(privateAddress(host, refused.address), []);
      if (options.all === true) return callback(null, addresses);
      return callback(null, first?.address ?? '', first?.family ?? 4);
    });
}

/** The refusal of an address inside. */
export function privateAddress(host: string, address: string): AnnealError {
  const at = host === address ? '' : ` is ${address}, which`;
  return new AnnealError(
    'InvalidConfig',
    `The host ${host}${at} is not an address of the public Internet. If the dataset is meant to be read there, add "${host}" to data.allowHosts in anneal.yaml.`,
  );
}

const NOT_PUBLIC = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/96',
  '::ffff:0:0/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
];

/** One family alone: a list with `::ffff:0:0/96` would hold every IPv4 address. */
function blocked(family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const subnet of NOT_PUBLIC) {
    const [network = '', prefix] = subnet.split('/');
    if (network.includes(':') === (family === 'ipv6')) list.addSubnet(network, Number(prefix), family);
  }
  return list;
}
