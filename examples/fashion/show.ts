import { ArrayDataset, DataLoader, type Image, noGrad, normalize, softmax } from '../../lib/index.js';
import { loadTrained, sampleImages } from './trained.js';

const SHADES = ' .:-=+*#%@';

/** Half as many lines as rows, since letters are twice as high as wide. */
function ascii({ data, height, width }: Image): string[] {
  return Array.from({ length: Math.floor(height / 2) }, (_, line) =>
    Array.from({ length: width }, (_, x) => {
      const at = 2 * line * width + x;
      const grey = ((data[at] as number) + (data[at + width] as number)) / 2;
      return SHADES[Math.min(SHADES.length - 1, Math.floor((grey / 256) * SHADES.length))];
    }).join(''),
  );
}

/** Shows the repository's trained network at work on ten pieces of clothing. */
export async function showFashion(print: (line: string) => void): Promise<void> {
  const { model, classes, mean, std } = loadTrained();
  const images = await sampleImages();
  const data = new ArrayDataset(
    Uint8Array.from(images.flatMap((image) => [...image.data])),
    [images.length, 1, 28, 28],
    Uint8Array.from(images, (_, label) => label),
    classes,
  );
  const loader = new DataLoader(data, { batchSize: images.length, transform: normalize(mean, std) });
  for await (const batch of loader) {
    using probabilities = noGrad(() => {
      using logits = model.forward(batch.images);
      return softmax(logits);
    });
    const values = await probabilities.data();
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    print(
      `A ResNeXt of cardinality 8, ${parameters.toLocaleString('en')} parameters, on the first test image of each class`,
    );
    const lines = images.map((image, row) => {
      const own = values.subarray(row * classes.length, (row + 1) * classes.length);
      const best = own.indexOf(Math.max(...own));
      const text = `${row === best ? '✓' : '✗'} ${classes[best]} ${(100 * (own[best] as number)).toFixed(1)} %`;
      return [...ascii(image), text.padEnd(28), row === best ? '' : `  is ${classes[row]}`].map((line) =>
        line.padEnd(28),
      );
    });
    for (let first = 0; first < lines.length; first += 3) {
      const some = lines.slice(first, first + 3);
      for (const [i] of (some[0] ?? []).entries())
        print(
          some
            .map((own) => own[i])
            .join('  ')
            .trimEnd(),
        );
    }
  }
  model.dispose();
}
