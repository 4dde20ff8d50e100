/**
 * The tour: the review's ResNeXt and its summary; forward, backward and a step of SGD through it on photographs; and a
 * trained depthwise-separable network that reads faces; a small ResNeXt that groupconv has trained. `npm run demo`.
 */
import cliProgress from 'cli-progress';
import { devices, manualSeed, noGrad, ResNeXt, summary, tensor } from '../lib/index.js';
import { showExpressions } from './expressions/show.js';
import { showFashion } from './fashion/show.js';
import { loadPhotographs } from './photographs.js';
import { trainOnPhotographs } from './trainOnPhotographs.js';

const print = (line = '') => console.log(line);
const title = (text: string) => print(`\n${text}\n${'─'.repeat(text.length)}`);

const [cpu] = devices();
print(`groupconv on ${cpu?.device}: ${cpu?.isa}, ${cpu?.threads} threads`);
manualSeed(2017);

title("1. The review's ResNeXt");
const model = new ResNeXt();
print(summary(model, [2, 3, 224, 224]).toString());

title('2. Forward, backward and steps of SGD on photographs');
const { data, names } = await loadPhotographs(2, 224);
const images = tensor(data, [names.length, 3, 224, 224]);
const steps = 5;
const bar = new cliProgress.SingleBar(
  { format: 'step {value}/{total} {bar} loss {loss}', clearOnComplete: true },
  cliProgress.Presets.shades_classic,
);
print(`${names.join(' and ')}, resized to 224 x 224, with made-up labels 0 and 1`);
bar.start(steps, 0, { loss: '' });
const report = await trainOnPhotographs(model, images, steps, (loss) =>
  bar.increment({ loss: loss.toFixed(4) }),
);
bar.stop();
for (const [index, { forwardMs, backwardMs, loss }] of report.entries())
  print(
    `step ${index + 1}: forward ${forwardMs.toFixed(0)} ms, backward ${backwardMs.toFixed(0)} ms, loss ${loss.toFixed(4)}`,
  );
const first = report[0]?.loss ?? Number.NaN;
const last = report.at(-1)?.loss ?? Number.NaN;
print(`the loss fell from ${first.toFixed(4)} to ${last.toFixed(4)}`);
if (!(last < first)) process.exitCode = 1;

model.eval();
const start = performance.now();
const logits = noGrad(() => model.forward(images));
await logits.data();
print(`inference with folded batch norms, packing included: ${(performance.now() - start).toFixed(0)} ms`);
for (const item of [images, logits]) item.dispose();
model.dispose();

title('3. A trained depthwise-separable network: facial expressions');
await showExpressions(print);

title('4. Trained by groupconv: Fashion-MNIST');
await showFashion(print);
