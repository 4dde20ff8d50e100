/** Prints what the library finds as its first CUDA device, or why there is none, as JSON. */
import { devices } from '../../lib/index.js';

console.log(JSON.stringify(devices().find(({ device }) => device.startsWith('cuda')) ?? {}));
