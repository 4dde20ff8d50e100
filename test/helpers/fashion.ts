import { existsSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.GROUPCONV_FASHION_MNIST ?? '/usr/share/datasets/fashion-mnist';

/** The folder with Fashion-MNIST, where there is one: GROUPCONV_FASHION_MNIST, or that of Debian's package. */
export const fashionFolder: string | null = ['', '.gz'].some((ending) =>
  existsSync(join(folder, `t10k-images-idx3-ubyte${ending}`)),
)
  ? folder
  : null;

export const noFashion = `no Fashion-MNIST in ${folder} (apt-get install dataset-fashion-mnist, or set GROUPCONV_FASHION_MNIST)`;
