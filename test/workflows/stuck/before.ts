import { sleep } from '@temporalio/workflow';

/** As it was when its runs began. */
export async function nightly(): Promise<string> {
  await sleep('1s');
  await sleep('1s');
  return 'done';
}
