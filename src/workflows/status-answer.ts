import { defaultPayloadConverter, RawValue } from '@temporalio/common';
import { INLINE_PAYLOAD, type RunStatus } from '../core/run.js';

/** Characters of an answer at most: Temporal's limit is 2 MiB, and it warns from 512 KiB on. */
const ANSWER_CHARS = 450_000;
/** Characters of a value that is shown of one that is left out. */
const SHOWN_CHARS = 200;

/**
 * The answer of the status query. It is read once and kept by nobody, so it never goes to the store; where it is too long for a query, long
 * values of parameters, the result and the logs of failures are cut, and in the end calls: the record of the ended run has all of them.
 */
export function statusAnswer(status: RunStatus): RawValue<RunStatus> {
  const payload = defaultPayloadConverter.toPayload(fit(status));
  if (payload === undefined || payload === null) throw new TypeError('The status of the run is no JSON.');
  const metadata = { ...payload.metadata, [INLINE_PAYLOAD]: new Uint8Array() };
  return RawValue.fromPayload({ ...payload, metadata });
}

const CUTS: readonly ((status: RunStatus) => RunStatus)[] = [
  (status) => ({
    ...status,
    parameters: Object.fromEntries(
      Object.entries(status.parameters).map(([name, value]) => [name, shortened(value)]),
    ),
    ...(status.result === undefined ? {} : { result: shortened(status.result) }),
  }),
  (status) => ({ ...status, calls: status.calls.map(withoutLog) }),
  (status) => ({ ...status, calls: status.calls.slice(-20) }),
];

function fit(status: RunStatus): RunStatus {
  let answer = status;
  for (const cut of CUTS) {
    if (JSON.stringify(answer).length <= ANSWER_CHARS) return answer;
    answer = cut(answer);
  }
  return answer;
}

function shortened<T>(value: T): T | string {
  const text = JSON.stringify(value);
  return text.length <= SHOWN_CHARS * 2
    ? value
    : `${text.slice(0, SHOWN_CHARS)}… (${text.length} characters of JSON)`;
}

function withoutLog<C extends RunStatus['calls'][number]>(call: C): C {
  if (call.failure?.logTail === undefined) return call;
  const { logTail: _, ...failure } = call.failure;
  return { ...call, failure };
}
