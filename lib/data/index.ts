export { CIFAR10_CLASSES, cifar10, readCifar10 } from './cifar10.js';
export {
  type Batch,
  DataLoader,
  type DataLoaderOptions,
  type LoaderState,
} from './dataLoader.js';
export { ArrayDataset, type Dataset, type Image, type Sample, subset } from './dataset.js';
export { Generator } from './generator.js';
export { type IdxArray, type IdxData, readIdx } from './idx.js';
export { type ImageFolderOptions, imageFolder } from './imageFolder.js';
export { FASHION_MNIST_CLASSES, fashionMnist, mnist } from './mnist.js';
export {
  centerCrop,
  compose,
  normalize,
  randomCrop,
  randomHorizontalFlip,
  resize,
  type Transform,
} from './transforms.js';
