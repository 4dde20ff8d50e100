/** A process that asks for CUDA: `node … cudaDevices.ts [DEVICE]` prints what `devices()` says of it and what came of asking. */
import { type Device, type DeviceInfo, devices, GroupConvError, ones } from '../../lib/index.js';

const told = { devices: [] as DeviceInfo[], auto: '', device: '', code: '', message: '' };
try {
  told.auto = ones([1], { device: 'auto' }).device;
} catch (error) {
  told.auto = (error as Error).message;
}
try {
  const x = ones([2], { device: (process.argv[2] as Device | undefined) ?? 'cuda' });
  told.device = x.device;
} catch (error) {
  if (error instanceof GroupConvError) told.code = error.code;
  told.message = (error as Error).message;
}
told.devices = devices().slice(1);
console.log(JSON.stringify(told));
