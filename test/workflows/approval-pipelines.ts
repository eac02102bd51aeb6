import { createDispatcher } from '../../src/workflows/index.js';
import { approval, boolean, definePipeline, integer, number, string } from '../../src/pipeline/index.js';
import { make } from './steps.js';

const params = {
  approvers: string({ default: 'leads' }),
  quorum: integer({ default: 1 }),
  notSelf: boolean({ default: false }),
  veto: string({ default: '' }),
  expires: string({ default: '' }),
  outcome: string({ oneOf: ['fail', 'reject', 'approve'], default: 'fail' }),
  escalateAfter: string({ default: '' }),
  remindEvery: string({ default: '' }),
  unverified: boolean({ default: false }),
  form: boolean({ default: false }),
};

/** One gate with everything that a gate can have. */
const release = definePipeline({ name: 'release', params }, async (p) => {
  const { data } = await make({ n: 1 });
  return await approval('go-live', {
    subject: data,
    ...(p.approvers === '' ? {} : { approvers: p.approvers.split(',') }),
    quorum: p.quorum,
    notSelf: p.notSelf,
    ...(p.veto === '' ? {} : { veto: [p.veto] }),
    ...(p.expires === '' ? {} : { expires: { after: p.expires, outcome: p.outcome } }),
    ...(p.escalateAfter === '' ? {} : { escalate: { after: p.escalateAfter, to: ['directors'] } }),
    ...(p.remindEvery === '' ? {} : { remindEvery: p.remindEvery }),
    ...(p.form ? { form: { threshold: number({ min: 0, max: 1, default: 0.85 }) } } : {}),
    allowUnverified: p.unverified,
  });
});

/** A person decides while another branch makes the history long. */
const busyRelease = definePipeline({ name: 'busy-release' }, async () => {
  const { data } = await make({ n: 1 });
  const decision = approval('go-live', { subject: data, approvers: ['leads'], quorum: 2 });
  for (let i = 0; i < 20; i++) await make({ n: 100 + i });
  return (await decision).approvedBy;
});

/** The same gate twice: on the first bytes, then on others. */
const retrained = definePipeline({ name: 'retrained' }, async () => {
  const first = await make({ n: 1 });
  await approval('go-live', { subject: first.data, approvers: ['leads'] });
  const second = await make({ n: 2 });
  return (await approval('go-live', { subject: second.data, approvers: ['leads'] })).by;
});

/** Something is approved, and then the run may fail. */
const shipped = definePipeline(
  {
    name: 'shipped',
    params: { notSelf: boolean({ default: false }), expires: string({ default: '90d' }) },
  },
  async ({ notSelf, expires }) => {
    const { data } = await make({ n: 1 });
    const decision = await approval('go-live', {
      subject: data,
      approvers: ['leads'],
      notSelf,
      expires: { after: expires, outcome: 'approve' },
    });
    await make({ n: 99 });
    return decision;
  },
);

export default createDispatcher({ release, busyRelease, retrained, shipped });
