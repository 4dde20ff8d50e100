/**
 * The measurements of gpu:check, row by row into the report of a folder; rows that stand there already are not measured
 * again. Ends with 3 where there is no device, with 4 where the device has failed: what comes then needs a new process.
 */
import { parseArgs } from 'node:util';
import { type Device, devices, setAutotune, setDeterministic } from '../../lib/index.js';
import { BrokenDevice, Ledger } from './ledger.js';
import { measureCopy, measureMatrixRates } from './peaks.js';
import { TorchPeer } from './peer.js';
import { answerSeconds, efforts, endOf, lastPhase, type Phase } from './plan.js';
import { withPulse } from './pulse.js';
import { allTasks, shapesTasks, type Task } from './tasks.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '240' },
    /** When the first process began, in milliseconds: the time is that of all of them. */
    began: { type: 'string', default: String(Date.now()) },
    ended: { type: 'string' },
    /** These layers at batch 1, quickly, and nothing else. */
    shapes: { type: 'string' },
  },
});
const { shapes } = options;
const device: Device = 'cuda:0';
const found = devices().find((each) => each.device === device);
if (!found?.available) {
  console.log(`no CUDA device: ${devices().find((each) => each.device.startsWith('cuda'))?.reason}`);
  process.exit(3);
}
const ledger = new Ledger(positionals[0] ?? '.', options.ended);
const { report } = ledger;
const torch = new TorchPeer();

/** Seconds until a phase has to end. */
function left(phase: Phase): number {
  const passed = (Date.now() - Number(options.began)) / 1000;
  return Number(options.seconds) * endOf(phase) - passed;
}

/** Rows do without them. */
async function measurePeaks(): Promise<void> {
  if (report.absent.includes('peaks')) return; // measured, or died of
  report.absent.push('peaks');
  ledger.save();
  try {
    const effort = efforts[shapes ? 'shapes' : 'goal layers'];
    report.bandwidthGigabytes = (await measureCopy(shapes ? 1 << 12 : 1 << 28, device, effort)) / 1e9;
    ledger.save();
    setAutotune(true);
    report.matrix = await withPulse('products of matrices', () =>
      measureMatrixRates(shapes ? 16 : 8192, device, torch, effort, answerSeconds.kernel),
    );
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === 'DEVICE_FAILURE') throw new BrokenDevice(`peaks: ${message}`);
    console.log(`peaks: ${message}`);
  }
  ledger.save();
}

/** Each in its phase; what was too late there, in the time that is left at the end. */
async function measureAll(tasks: readonly Task[]): Promise<void> {
  ledger.expect(tasks);
  for (const end of [undefined, lastPhase])
    for (const { phase, kind, identity, least, measure } of tasks) {
      const seconds = { phase: left(end ?? phase), all: left(lastPhase) };
      if (seconds.phase > least) await ledger.row(kind, identity, () => measure(seconds));
    }
}

async function everything(): Promise<void> {
  report.device = { ...found };
  report.torch = await withPulse('starting PyTorch', () => torch.version());
  setDeterministic(false); // as PyTorch: all of cuDNN's engines
  await measurePeaks();
  const bench = { device, torch: report.torch ? torch : null };
  await measureAll(shapes ? shapesTasks(shapes, bench) : allTasks(bench));
}

try {
  await everything();
} catch (error) {
  console.log(`${(error as Error).message}`);
  process.exitCode = error instanceof BrokenDevice ? 4 : 1;
} finally {
  torch.close();
  ledger.save();
}
process.exit(); // whatever a device that has failed still holds
