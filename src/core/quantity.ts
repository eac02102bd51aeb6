const UNIT_BYTES = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
} as const;

/**
 * Bytes of a Kubernetes quantity such as `'512Mi'` or `'8Gi'`.
 * @throws TypeError naming the text and the allowed form.
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(|k|M|G|T|Ki|Mi|Gi|Ti)$/.exec(text);
  if (!match)
    throw new TypeError(
      `"${text}" is not an amount of memory; write a number and Ki, Mi, Gi or Ti, such as "8Gi"`,
    );
  return Math.round(Number(match[1]) * UNIT_BYTES[match[2] as keyof typeof UNIT_BYTES]);
}

/** Bytes for people, in binary units: `512Mi`, `1.5Gi`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['Ti', 'Gi', 'Mi', 'Ki'] as const) {
    if (bytes >= UNIT_BYTES[unit]) return `${Number((bytes / UNIT_BYTES[unit]).toFixed(1))}${unit}`;
  }
  return `${bytes} bytes`;
}

/** The largest text of whole binary units, of mebibytes at least, that is not more than `bytes`: read again it is no other amount. */
export function toQuantity(bytes: number): string {
  for (const unit of ['Ti', 'Gi'] as const) {
    if (bytes >= UNIT_BYTES[unit] && bytes % UNIT_BYTES[unit] === 0)
      return `${bytes / UNIT_BYTES[unit]}${unit}`;
  }
  return `${Math.floor(bytes / UNIT_BYTES.Mi)}Mi`;
}
