// How gpu:check spends its time: shares of its steps, phases of its measurements, and what comes first.
import test from 'ava';
import { goalLayers, goalNetworks, otherLayers, otherNetworks } from '../../benchmarks/gpu/cases.js';
import { TorchPeer } from '../../benchmarks/gpu/peer.js';
import {
  closingSeconds,
  endOf,
  lastPhase,
  limitOf,
  measuringShare,
  type Part,
  type Phase,
  parts,
  phaseSeconds,
  pulseSeconds,
  shares,
  silenceSeconds,
  testSeconds,
} from '../../benchmarks/gpu/plan.js';
import type { KernelRow } from '../../benchmarks/gpu/rows.js';
import { allTasks, type Task } from '../../benchmarks/gpu/tasks.js';

test('whatever the steps before take, half of the time is for the measurements', (t) => {
  const total = 480;
  let left = total;
  for (const part of parts.filter((each) => each !== 'measure')) {
    const limit = limitOf(part, total, left, true);
    t.true(limit >= 0);
    left -= limit; // all of it
  }
  t.true(left >= measuringShare * total - 1e-9);
  t.is(limitOf('measure', total, left, true), left - closingSeconds);
  t.is(limitOf('sanitizer', total, 0.5 * measuringShare * total, true), 0);
  // Where nothing is measured, tests may take what there is.
  t.is(limitOf('suite' as Part, total, 100, false), 100);
});

const tasks = allTasks({ device: 'cuda:0', torch: new TorchPeer(['/no/python']) });
const tasksOf = (phase: Phase) => tasks.filter((task) => task.phase === phase);
const said = (task: Task) =>
  task.kind === 'networks' ? `${task.identity.network} ${task.identity.work} ${task.identity.n}` : '';

test('the phases fill the time that there is at least, and are counted for what is in them', (t) => {
  t.true(testSeconds < shares.native * 480, 'a native test that hangs does not take its step along');
  const seconds = Object.values(phaseSeconds).reduce((sum, each) => sum + each, 0);
  t.is(seconds, measuringShare * 480 - closingSeconds - 2);
  t.is(endOf('goal layers'), phaseSeconds['goal layers'] / seconds);
  t.is(endOf(lastPhase), 1);
  const phases = [...new Set(tasks.map(({ phase }) => phase))];
  t.deepEqual(phases, Object.keys(phaseSeconds) as Phase[]);
  t.is(goalLayers().length, 48);
  t.is(otherLayers().length, 240);
  t.is(goalNetworks().length, 3);
  t.is(otherNetworks().length, 7);
  t.true(3 * pulseSeconds < silenceSeconds);
});

test('goals come first: batch 256, bfloat16, cuDNN and PyTorch at their best', (t) => {
  for (const { identity } of tasksOf('goal layers'))
    t.like(identity, { batch: 256, precision: 'bfloat16' } as Partial<KernelRow>);
  const compiled = tasksOf('torch.compile');
  t.deepEqual(compiled.map(said), [
    'resnext50_32x4d inference 256',
    'resnext50_32x4d inference 1',
    'resnext50_32x4d training 256',
  ]);
  t.deepEqual(tasksOf('autotuned networks').map(said), [
    'resnext50_32x4d inference 256',
    'resnext50_32x4d training 256',
    'resnext50_32x4d inference 1',
    'resnext50_32x4d inference 32',
    'resnext50_32x4d training 32',
  ]);
});
