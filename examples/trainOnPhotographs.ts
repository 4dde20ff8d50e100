import {
  crossEntropy,
  type Module,
  optim,
  synchronize,
  type Tensor2D,
  type Tensor4D,
  tensor,
} from '../lib/index.js';

export interface StepReport {
  forwardMs: number;
  backwardMs: number;
  loss: number;
}

/**
 * Trains on one batch, image i with label i, and times every pass.
 *
 * @param model - from [N, 3, H, W] to [N, classes]
 * @param onStep - called with the loss before each step
 */
export async function trainOnPhotographs(
  model: Module<Tensor4D, Tensor2D>,
  images: Tensor4D,
  steps: number,
  onStep: (loss: number) => void,
): Promise<StepReport[]> {
  const labels = tensor(Int32Array.from({ length: images.shape[0] }, (_, i) => i));
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const reports: StepReport[] = [];
  model.train();
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    optimizer.zeroGrad();
    const logits = model.forward(images);
    const value = crossEntropy(logits, labels);
    const [loss = Number.NaN] = await value.data(); // the event loop goes on meanwhile
    const forwarded = performance.now();
    value.backward();
    await synchronize();
    const done = performance.now();
    optimizer.step();
    for (const item of [logits, value]) item.dispose();
    reports.push({ forwardMs: forwarded - start, backwardMs: done - forwarded, loss });
    onStep(loss);
  }
  labels.dispose();
  optimizer.dispose();
  return reports;
}
