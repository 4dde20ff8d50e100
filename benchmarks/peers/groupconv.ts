/** groupconv itself as a contender: layers by the native timer, networks from TypeScript. */
import {
  conv2d,
  crossEntropy,
  exportOnnx,
  noGrad,
  optim,
  type Shape,
  scope,
  setNumThreads,
  synchronize,
  type Tensor,
  tensor,
} from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { hashed, hashedParameter } from '../../test/golden/golden.js';
import { buildNetwork } from '../networks.js';
import { outputExtents } from '../shapes.js';
import {
  type Answer,
  type LayerWork,
  type NetworkWork,
  passes,
  probeOf,
  type Request,
  serve,
  timed,
} from './protocol.js';

type Model = ReturnType<typeof buildNetwork>;
type Times = { seconds: number; atLeast: number };

/** Something that was run for its probe and can now be timed. */
interface Prepared extends Disposable {
  readonly answer: Answer;
  time(times: Times): Promise<number[]>;
}

function hashedTensor<S extends Shape>(seed: number, shape: S, requiresGrad = false): Tensor<S> {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return tensor(hashed(seed, size), shape, { requiresGrad }) as Tensor<S>;
}

function prepareLayer(work: LayerWork, which: string): Prepared {
  const { pass, n, c, h, w, k, r, s, stride, padding, dilation, groups } = work;
  const probe = scope(() => {
    const x = hashedTensor(0, [n, c, h, w] as const, pass === 'gradInput');
    const weight = hashedTensor(1, [k, c / groups, r, s] as const, pass === 'gradWeight');
    const y = conv2d(x, weight, { stride, padding, dilation, groups });
    if (pass === 'forward') return probeOf(y.dataSync());
    const [p, q] = outputExtents(work);
    y.backward(hashedTensor(2, [n, k, p, q] as const));
    return probeOf((pass === 'gradInput' ? x : weight).grad!.dataSync());
  });
  // As measure_solvers in bindings/device_api.cpp reads it.
  const problem = Int32Array.of(
    ...[n, c, h, w, k, r, s, groups, passes.indexOf(pass)],
    ...[stride, stride, dilation, dilation, padding, padding, padding, padding],
  );
  const measure = (seconds: number) => native.measureSolvers(-1, 0, problem, seconds, which)[0];
  const first = measure(0);
  if (!first) throw new Error(`${which} doesn't accept this problem`);
  return {
    answer: { probe, detail: first[0] },
    time: async ({ seconds }) => measure(seconds)?.[1] ?? [],
    [Symbol.dispose]() {},
  };
}

/** The weights are the golden files' hashed ones. */
function build(work: NetworkWork): Model {
  const model: Model = buildNetwork(work);
  scope(() => {
    const entries = [...model.stateDict()].map(([key, { shape }], i) => {
      return [key, tensor(hashedParameter(key, shape, work.state + i), shape)] as const;
    });
    model.loadStateDict(new Map(entries));
  });
  return model;
}

async function prepareNetwork(work: NetworkWork): Promise<Prepared> {
  const { n, size, input, lr, momentum } = work;
  const model = build(work);
  const training = work.work === 'training';
  model.train(training);
  const images = hashedTensor(input, [n, 3, size, size] as const);
  const labels = tensor(Int32Array.from({ length: n }, (_, i) => i));
  const optimizer = training ? new optim.SGD(model.parameters(), { lr, momentum }) : null;
  const step = () => {
    if (!optimizer) return noGrad(() => model.forward(images));
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(images), labels);
    loss.backward();
    optimizer.step();
    return loss.detach();
  };
  const probe: number[] = [];
  for (let i = 0; i < 3; i++) {
    using result = scope(step);
    const values = await result.data();
    probe.push(...(training ? values : i === 2 ? probeOf(values) : []));
  }
  return {
    answer: { probe },
    time: (times) =>
      timed(() => {
        scope(() => void step());
        return synchronize();
      }, times),
    [Symbol.dispose]() {
      for (const item of [images, labels, optimizer, model]) item?.dispose();
    },
  };
}

let prepared: Prepared | undefined;

await serve(async (request: Request): Promise<Answer> => {
  switch (request.command) {
    case 'describe':
      setNumThreads(request.threads);
      return { version: native.isa() };
    case 'prepare':
      prepared?.[Symbol.dispose]();
      prepared =
        request.work === 'layer' ? prepareLayer(request, request.variant) : await prepareNetwork(request);
      return prepared.answer;
    case 'run':
      if (!prepared) throw new Error('nothing is prepared');
      return { samples: await prepared.time(request) };
    case 'export': {
      const { n, size, file } = request;
      using model = build(request);
      model.eval();
      await exportOnnx(model, file, {
        inputShape: [n, 3, size, size],
        dynamicBatch: false,
        foldBatchNorm: true,
      });
      return {};
    }
    default:
      throw new Error(`unknown command ${JSON.stringify(request)}`);
  }
});
