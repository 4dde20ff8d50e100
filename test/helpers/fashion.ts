import { existsSync } from 'node:fs';
import { join } from 'node:path';

const named = process.env.GROUPCONV_FASHION_MNIST;
const folder = named ?? '/usr/share/datasets/fashion-mnist';

/** The folder with Fashion-MNIST, where there is one: GROUPCONV_FASHION_MNIST, or that of Debian's package. */
export const fashionFolder: string | null = ['', '.gz'].some((ending) =>
  existsSync(join(folder, `t10k-images-idx3-ubyte${ending}`)),
)
  ? folder
  : null;

// Who names a folder wants the tests to run, not to be skipped.
if (named && !fashionFolder) throw new Error(`GROUPCONV_FASHION_MNIST=${named}: no Fashion-MNIST there`);

export const noFashion = `no Fashion-MNIST in ${folder} (apt-get install dataset-fashion-mnist, or set GROUPCONV_FASHION_MNIST)`;
