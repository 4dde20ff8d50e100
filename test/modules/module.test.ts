import test from 'ava';
import {
  BatchNorm2d,
  Conv2d,
  Identity,
  Linear,
  Module,
  memory,
  ones,
  parameter,
  ReLU,
  Sequential,
  scope,
  type Tensor4D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';
import { digest } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

class Branch extends Module {
  readonly scale = parameter(ones([3]));
  readonly table = ones([2]);
  readonly conv = new Conv2d(4, 8, 1);
  override forward(x: Tensor4D): Tensor4D {
    return this.conv.forward(x);
  }
}

class Net extends Module {
  readonly head = new Sequential(new Conv2d(3, 4, 3, { bias: false }), new BatchNorm2d(4), new ReLU());
  readonly branches = [new Branch(), new Branch()];
  readonly shared = this.branches[0] as Branch;
  readonly offset = zeros([4], { requiresGrad: true });
  override forward(x: Tensor4D): Tensor4D {
    const y = this.head.forward(x) as Tensor4D;
    try {
      return this.shared.forward(y);
    } finally {
      y.dispose();
    }
  }
}

const keys = (entries: [string, unknown][]) => entries.map(([key]) => key);

test('fields are parameters, buffers and children, in the order of their definition', (t) => {
  using net = new Net();
  t.deepEqual(keys(net.namedParameters()), [
    'offset',
    'head.0.weight',
    'head.1.weight',
    'head.1.bias',
    'branches.0.scale',
    'branches.0.conv.weight',
    'branches.0.conv.bias',
    'branches.1.scale',
    'branches.1.conv.weight',
    'branches.1.conv.bias',
  ]);
  t.deepEqual(keys(net.namedBuffers()), [
    'head.1.running_mean',
    'head.1.running_var',
    'head.1.num_batches_tracked',
    'branches.0.table',
    'branches.1.table',
  ]);
  t.deepEqual(keys(net.namedChildren()), ['head', 'branches.0', 'branches.1']);
  t.deepEqual(keys(net.namedModules()), [
    '',
    'head',
    'head.0',
    'head.1',
    'head.2',
    'branches.0',
    'branches.0.conv',
    'branches.1',
    'branches.1.conv',
  ]);
  // A state has every name of what is shared, as PyTorch's.
  t.true(net.stateDict().has('shared.conv.weight'));
  t.is(net.stateDict().size, 15 + 4);
  t.is(net.parameters().length, 10);
  t.is(net.modules().length, 9);
});

test('a frozen parameter is still a parameter', (t) => {
  using conv = new Conv2d(2, 2, 1);
  conv.weight.requiresGrad = false;
  t.deepEqual(keys(conv.namedParameters()), ['weight', 'bias']);
});

test('train and eval reach the whole tree', (t) => {
  using net = new Net();
  t.true(net.training);
  t.is(net.eval(), net);
  t.true(net.modules().every(({ training }) => !training));
  net.train();
  t.true(net.modules().every(({ training }) => training));
});

test('parameters, buffers and gradients outlive scopes; zeroGrad and dispose free them', (t) => {
  const start = memory().bytes;
  const net = scope(() => {
    const made = new Net();
    return { made };
  }).made;
  const owned = memory().bytes;
  scope(() => {
    const y = net.forward(ones([2, 3, 5, 5]));
    y.backward(ones([2, 8, 3, 3]));
  });
  t.truthy(net.head.parameters()[0]?.grad);
  t.is(net.offset.grad, null);
  net.zeroGrad();
  t.is(net.head.parameters()[0]?.grad, null);
  t.is(memory().bytes, owned);
  net.dispose();
  net.dispose();
  t.is(memory().bytes, start);
  t.true(net.disposed && net.shared.disposed);
});

test('a disposed module throws DISPOSED, whatever it is', (t) => {
  const x = ones([1, 4, 1, 1]);
  const all: Module[] = [new ReLU(), new Identity(), new Sequential(), new Conv2d(4, 4, 1), new Branch()];
  for (const module of all) {
    module.dispose();
    throwsCode(t, 'DISPOSED', () => module.forward(x), /disposed/);
    const outer = new Sequential(module, new BatchNorm2d(4), new ReLU());
    throwsCode(t, 'DISPOSED', () => outer.forward(x), /disposed/);
  }
  x.dispose();
});

test('a state dict loads into another module, from a map or a record, and replaces nothing', (t) => {
  using one = new Net();
  using two = new Net();
  const parameters = two.parameters();
  one.offset.set(Float32Array.of(1, 2, 3, 4));
  t.notDeepEqual(digest(one), digest(two));
  const { missing, unexpected } = two.loadStateDict(one.stateDict());
  t.deepEqual([missing, unexpected], [[], []]);
  t.deepEqual(digest(two), digest(one));
  t.deepEqual(two.parameters(), parameters);
  one.offset.set(Float32Array.of(4, 3, 2, 1));
  two.loadStateDict(Object.fromEntries(one.stateDict()));
  t.deepEqual([...two.offset.dataSync()], [4, 3, 2, 1]);
});

test('one error names missing, unexpected and wrongly shaped keys, and nothing is written', (t) => {
  using norm = new BatchNorm2d(2);
  const state = { weight: ones([3]), bias: tensor([5, 5]), running_mean: zeros([2]), extra: ones([1]) };
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => norm.loadStateDict(state),
    /BatchNorm2d: missing running_var; unexpected extra; wrong shapes weight \[3\] for \[2\]$/,
  );
  throwsCode(t, 'INVALID_SHAPE', () => norm.loadStateDict(state, { strict: false }), /: wrong shapes weight/);
  t.deepEqual([...(norm.bias?.dataSync() ?? [])], [0, 0]);
  const { weight, ...rest } = state;
  t.deepEqual(norm.loadStateDict(rest, { strict: false }), {
    missing: ['weight', 'running_var'],
    unexpected: ['extra'],
  });
  t.deepEqual([...(norm.bias?.dataSync() ?? [])], [5, 5]);
  throwsCode(t, 'INVALID_ARGUMENT', () => norm.loadStateDict(rest, { strickt: false } as object), /strickt/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => norm.loadStateDict({ weight: [1, 2] } as never, { strict: false }),
    /not a tensor/,
  );
  state.bias.dispose();
  throwsCode(t, 'DISPOSED', () => norm.loadStateDict(rest, { strict: false }), /bias has been disposed/);
});

test('to() converts floating point, keeps counters and shared tensors, and goes back', (t) => {
  using net = new Net();
  const weight = net.shared.conv.weight;
  const wanted = weight.detach().to('bfloat16').dataSync();
  net.to(weight.device).to('float32');
  t.is(net.shared.conv.weight, weight);
  net.to('bfloat16');
  t.is(net.branches[0], net.shared);
  t.is(net.shared.conv.weight.dtype as string, 'bfloat16');
  t.deepEqual(net.shared.conv.weight.dataSync(), wanted);
  t.is(net.stateDict().get('head.1.num_batches_tracked')?.dtype, 'int32');
  t.is(net.parameters().length, 10);
  t.true(weight.disposed);
  net.to('float32');
  t.true(net.parameters().every(({ requiresGrad, dtype }) => requiresGrad && dtype === 'float32'));
  throwsCode(t, 'INVALID_ARGUMENT', () => net.to('int32'), /int32/);
  throwsCode(t, 'INVALID_ARGUMENT', () => net.to('float64' as never), /float64/);
  throwsCode(t, 'DEVICE_UNAVAILABLE', () => net.to('cuda:99'));
});

test('to() changes all or nothing', (t) => {
  const net = new Sequential(new Linear(2, 3), new Linear(3, 2));
  const [first, last] = [...net] as [Linear, Linear];
  last.weight.dispose();
  const { tensors } = memory();
  throwsCode(t, 'DISPOSED', () => net.to('bfloat16'));
  t.is(first.weight.dtype, 'float32');
  t.false(first.weight.disposed);
  t.is(memory().tensors, tensors);
  net.dispose();
});

test('Sequential: names, order, an empty one, one module twice', (t) => {
  const relu = new ReLU();
  const twice = new Sequential(relu, new Identity(), relu);
  t.is(twice.length, 3);
  t.is(twice[1]?.constructor, Identity);
  t.deepEqual(
    [...twice].map((child) => child.constructor.name),
    ['ReLU', 'Identity', 'ReLU'],
  );
  t.is(twice.children().length, 2);
  const named = new Sequential({ first: new Linear(2, 3), second: new Linear(3, 1) });
  t.deepEqual([...named.stateDict().keys()], ['first.weight', 'first.bias', 'second.weight', 'second.bias']);
  const x = ones([2, 2]);
  t.is(new Sequential().forward(x), x);
  t.is(new Sequential(new Identity(), new Sequential(new Identity())).forward(x), x);
  t.false(x.disposed);
  throwsCode(t, 'INVALID_ARGUMENT', () => new Sequential(relu, 3 as never), /child 1 is not a module/);
  throwsCode(t, 'INVALID_ARGUMENT', () => new Sequential({ forward: relu }), /forward/);
  throwsCode(t, 'INVALID_ARGUMENT', () => new Sequential({ 'a.b': relu }), /a\.b/);
  for (const owned of [x, twice, named]) owned.dispose();
});
