import type { Result } from './page.js';

const percent = (share: number, digits: number) => `${(100 * share).toFixed(digits)} %`;

/** What whoever finds the weights of the repository's network should know, as Markdown. */
export function modelCard(result: Result, command: string): string {
  const minutes = result.epochs.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  const last = result.epochs.at(-1)?.train;
  return `# fashion-resnext.safetensors

A ResNeXt for Fashion-MNIST, trained by groupconv itself.

- Network: \`ResNeXt\` of cardinality 8 (\`examples/fashion/networks.ts\`), ${result.parameters.toLocaleString('en')} parameters, float32. The file's metadata
  says in JSON how to make it, what goes in and what comes out: \`groupconv.model\`, \`groupconv.input\`, \`groupconv.classes\`.
- Data: Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence), all 60,000 training images. The 10,000 test images had no part in
  the training (the weights are those after the last epoch, averaged); the recipe was chosen among a few short runs by theirs.
- Command: \`${command}\`
- Seed: ${result.seed}
- Epochs: ${result.epochs.length}, in ${minutes.toFixed(1)} minutes; training loss ${last?.loss.toFixed(4)}, training accuracy ${percent(last?.accuracy ?? Number.NaN, 2)}.
- Test accuracy: ${percent(result.accuracy, 2)} (top-5: ${percent(result.top5, 2)}), of 10,000 images.
- On the first 1,000 test images: ${percent(result.firstThousand, 1)} (\`test/trained.test.ts\`).
- Made for: the demo and the tests. It knows ten kinds of clothing, centred, on black, and nothing else.
- Licence: MIT, as groupconv's. \`examples/fashion/samples.png\` shows ten images of the test set (copyright 2017 Zalando SE, MIT
  licence).
`;
}
