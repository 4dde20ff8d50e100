import sharp from 'sharp';
import type { ConfusionMatrix, EpochReport } from '../../lib/index.js';
import { chartSvg } from '../chart.js';

/** A test image and what the network makes of it. */
export interface Prediction {
  /** [28, 28] bytes. */
  readonly pixels: Uint8Array;
  readonly label: number;
  readonly predicted: number;
  /** Of the predicted class, 0 to 1. */
  readonly probability: number;
}

/** What the page shows of one network. */
export interface Result {
  readonly title: string;
  readonly parameters: number;
  readonly seed: number;
  readonly accuracy: number;
  readonly top5: number;
  /** The accuracy on the first 1,000 test images. */
  readonly firstThousand: number;
  readonly epochs: readonly EpochReport[];
  readonly confusion: ConfusionMatrix;
  readonly predictions: readonly Prediction[];
}

/** Loss and accuracy of all networks by epoch, training dashed. */
export function curvesSvg(results: readonly Result[]): Promise<string> {
  const values = results.flatMap(({ title, epochs }) =>
    epochs.flatMap(({ epoch, train, validation }) => [
      { network: title, epoch, set: 'training', loss: train.loss, accuracy: 100 * (train.accuracy ?? 0) },
      ...(validation
        ? [
            {
              network: title,
              epoch,
              set: 'test',
              loss: validation.loss,
              accuracy: 100 * (validation.accuracy ?? 0),
            },
          ]
        : []),
    ]),
  );
  const panel = (field: 'loss' | 'accuracy', title: string) => ({
    width: 360,
    height: 260,
    mark: { type: 'line' as const },
    encoding: {
      x: { field: 'epoch', type: 'quantitative' as const, axis: { tickMinStep: 1, title: 'epoch' } },
      y: { field, type: 'quantitative' as const, scale: { zero: false }, title },
      color: { field: 'network', type: 'nominal' as const, title: 'network', legend: { labelLimit: 0 } },
      strokeDash: {
        field: 'set',
        type: 'nominal' as const,
        sort: ['test', 'training'],
        title: 'images',
        legend: { symbolType: 'stroke' as const, symbolSize: 400 },
      },
    },
  });
  return chartSvg({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    data: { values },
    hconcat: [panel('loss', 'loss'), panel('accuracy', 'accuracy in %')],
  });
}

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

function confusionTable(confusion: ConfusionMatrix, classes: readonly string[]): string {
  const shade = (share: number, right: boolean) =>
    `background: rgba(${right ? '40, 120, 80' : '200, 60, 40'}, ${Math.min(1, right ? share * 0.6 : share * 6).toFixed(3)})`;
  const rows = classes.map((name, label) => {
    const total = classes.reduce((sum, _, predicted) => sum + confusion.at(label, predicted), 0);
    const cells = classes.map((_, predicted) => {
      const count = confusion.at(label, predicted);
      return `<td style="${shade(count / total, label === predicted)}">${count || ''}</td>`;
    });
    return `<tr><th>${escapeHtml(name)}</th>${cells.join('')}<td class="recall">${percent(confusion.recall(label))}</td></tr>`;
  });
  const heads = classes.map((name) => `<th class="up"><span>${escapeHtml(name)}</span></th>`).join('');
  return `<table class="confusion"><tr><th></th>${heads}<th>recall</th></tr>${rows.join('\n')}</table>`;
}

/** A class and how sure the network is, under each image; wrong ones say what it was. */
async function figure({ pixels, label, predicted, probability }: Prediction, classes: readonly string[]) {
  const png = await sharp(pixels, { raw: { width: 28, height: 28, channels: 1 } })
    .png()
    .toBuffer();
  const right = label === predicted;
  const caption = `${escapeHtml(classes[predicted] as string)} ${(100 * probability).toFixed(0)} %`;
  const truth = right ? '' : `<br>is ${escapeHtml(classes[label] as string)}`;
  return `<figure class="${right ? 'right' : 'wrong'}"><img alt="" src="data:image/png;base64,${png.toString('base64')}"><figcaption>${caption}${truth}</figcaption></figure>`;
}

const style = `body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222 }
table.confusion { border-collapse: collapse; font-size: 13px } .confusion td { width: 3.2em; text-align: right; padding: .15em .4em }
.confusion th { text-align: right; padding-right: .6em; font-weight: normal } th.up { height: 6.5em; vertical-align: bottom }
th.up span { writing-mode: vertical-rl; transform: rotate(180deg) } td.recall { padding-left: 1em; white-space: nowrap }
figure { display: inline-block; width: 88px; margin: 4px; vertical-align: top; font-size: 11px; line-height: 1.25; text-align: center }
figure img { width: 84px; image-rendering: pixelated; border: 2px solid #2a7 } figure.wrong img { border-color: #c43 } svg { max-width: 100% }`;

/** One page of everything, without links to other files. */
export async function page(results: readonly Result[], classes: readonly string[]): Promise<string> {
  const sections = results.map(
    async ({ title, parameters, seed, accuracy, top5, epochs, confusion, predictions }) => {
      const figures = await Promise.all(predictions.map((prediction) => figure(prediction, classes)));
      const seconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0);
      const busy = epochs.reduce((sum, epoch) => sum + epoch.busy * epoch.seconds, 0) / seconds;
      return `<h2>${escapeHtml(title)}</h2>
<p>${percent(accuracy)} of 10,000 test images (top-5: ${percent(top5)}); ${parameters.toLocaleString('en')} parameters, ${epochs.length} epochs in
${(seconds / 60).toFixed(1)} minutes of training, ${percent(busy)} of it inside kernels; seed ${seed}.</p>
<h3>Confusion: rows are classes, columns predictions</h3>
${confusionTable(confusion, classes)}
<h3>The first test images, and the mistakes the network is surest of</h3>
<div>${figures.join('\n')}</div>`;
    },
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fashion-MNIST with groupconv</title>
<style>${style}</style>
<h1>Fashion-MNIST with groupconv</h1>
${await curvesSvg(results)}
<p>Training losses and accuracies are means over an epoch, of crops and flips and with label smoothing; those of the test images are of the
averaged weights at its end.</p>
${(await Promise.all(sections)).join('\n')}
</html>
`;
}
