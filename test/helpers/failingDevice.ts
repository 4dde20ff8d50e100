/**
 * A process whose CUDA device fails after some launches (GROUPCONV_EMULATED_LAUNCHES): prints what `'auto'`, `'cuda'` and
 * `devices()` are before and afterwards.
 */
import { type Device, devices, GroupConvError, ones, relu } from '../../lib/index.js';

function deviceOf(device: Device): string {
  try {
    return ones([1], { device }).device;
  } catch (error) {
    return error instanceof GroupConvError ? `${error.code}: ${error.message}` : String(error);
  }
}
const look = () => ({ auto: deviceOf('auto'), cuda: deviceOf('cuda'), devices: devices().slice(1) });

const before = look();
const x = ones([4], { device: 'cuda' });
let failure = '';
for (let i = 0; i < 1000 && failure === ''; i++)
  await relu(x)
    .data()
    .catch((error: GroupConvError) => {
      failure = error.code;
    });
console.log(JSON.stringify({ before, failure, after: look(), again: look() }));
