import { ApplicationFailure } from '@temporalio/common';
import { AnnealError, failureRow } from '../core/failures.js';

type Activity = (...args: never[]) => Promise<unknown>;

/** Activities as a worker takes them: an `AnnealError` crosses the wire as a failure whose type is its code; one that the same input would repeat is not retried. */
export function asActivities<T extends object>(activities: T): T {
  const wrapped = Object.entries(activities).map(([name, activity]) => [
    name,
    withFailureTypes(activity as Activity),
  ]);
  return Object.fromEntries(wrapped) as T;
}

function withFailureTypes(activity: Activity): Activity {
  return async (...args) => {
    try {
      return await activity(...args);
    } catch (error) {
      if (!(error instanceof AnnealError)) throw error;
      throw ApplicationFailure.create({
        type: error.code,
        message: error.message,
        nonRetryable: failureRow(error.code).retry === 'never',
        cause: error,
      });
    }
  };
}
