import { digestOfText } from './digest.js';

/**
 * The W3C trace context of an attempt, for `TRACEPARENT`: one trace for all attempts of a run, over continue-as-new and resets, and one
 * span for each attempt. Both ids follow from names alone, so that whoever knows those can find or name the same spans:
 * trace = the first 16 bytes of sha256(execution id), span = the first 8 bytes of sha256(attempt name), both in hex; flags 01, sampled.
 * Source: W3C Trace Context, 3.2 "Traceparent Header".
 */
export function traceParent(executionId: string, attemptName: string): string {
  return `00-${traceIdOf(executionId)}-${spanIdOf(attemptName)}-01`;
}

function traceIdOf(executionId: string): string {
  return notZero(digestOfText(executionId).slice(0, 32));
}

function spanIdOf(attemptName: string): string {
  return notZero(digestOfText(attemptName).slice(0, 16));
}

/** Zeros alone mean "no id" there. */
function notZero(id: string): string {
  return /^0+$/.test(id) ? id.replace(/0$/, '1') : id;
}
