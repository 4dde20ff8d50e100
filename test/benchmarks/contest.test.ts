// The harness's side of the protocol, against contenders that answer without working.
import test from 'ava';
import type { Contender } from '../../benchmarks/contenders.js';
import { contest, enter, leave } from '../../benchmarks/contest.js';
import { Peer } from '../../benchmarks/peer.js';
import type { LayerWork } from '../../benchmarks/peers/protocol.js';

/** A contender in a few lines: its times and result are given; `refuse` and `die` when asked to prepare. */
const script = `
  const [time, value, manner] = process.argv.slice(1);
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { command } = JSON.parse(line);
    if (manner === 'die' && command === 'prepare') { console.error('no luck'); process.exit(3); }
    const answers = {
      describe: { version: '1.0' },
      prepare: manner === 'refuse' ? { error: 'too difficult' } : { probe: [Number(value)], detail: manner },
      run: { samples: [Number(time), 2 * time] },
    };
    console.log(JSON.stringify(answers[command] ?? { error: 'unknown command' }));
  });`;

function fake(name: string, time: number, value: number, manner = ''): Contender {
  return {
    name,
    variant: '',
    program: { command: process.execPath, args: ['-e', script, `${time}`, `${value}`, manner] },
  };
}

const work: LayerWork = {
  ...{ work: 'layer' as const, pass: 'forward' as const, n: 1, c: 1, h: 4, w: 4, k: 1, r: 3, s: 3 },
  ...{ stride: 1, padding: 1, dilation: 1, groups: 1 },
};
const settings = { threads: 1, rounds: 3, seconds: 0.01, retries: 1, flop: 2 * 16 * 9, tolerance: 1e-4 };

test('contenders take turns; ratios are to groupconv; who differs, refuses or ends is told, not timed', async (t) => {
  const entrants = await enter(
    [
      fake('groupconv', 0.002, 1),
      fake('slow', 0.006, 1.00001),
      fake('wrong', 0.001, 1.5),
      fake('unable', 0.001, 1, 'refuse'),
      fake('dying', 0.001, 1, 'die'),
      { name: 'absent', variant: '', program: null },
      { name: 'broken', variant: '', program: { command: 'no-such-program-anywhere', args: [] } },
    ],
    1,
  );
  try {
    t.deepEqual(entrants.map(({ version }) => version).slice(0, 2), ['1.0', '1.0']);
    const results = await contest(entrants, work, settings);
    const [ours, slow, wrong, unable, dying, broken] = results;
    t.is(results.length, 6);
    t.deepEqual(ours!.samples, [0.002, 0.004, 0.002, 0.004, 0.002, 0.004]);
    t.is(ours!.min, 0.002);
    t.is(ours!.ratio, 1);
    t.is(slow!.ratio, 3);
    t.is(slow!.failure, null);
    t.regex(wrong!.failure!, /another result/);
    t.is(unable!.failure, 'too difficult');
    t.regex(dying!.failure!, /ended \(3\): no luck/);
    t.regex(broken!.failure!, /ENOENT/);
    for (const { samples } of [wrong!, unable!, dying!, broken!]) t.deepEqual(samples, []);
  } finally {
    leave(entrants);
  }
});

test('without groupconv there is nothing to compare with', async (t) => {
  const entrants = await enter([fake('groupconv', 1, 1, 'refuse')], 1);
  await t.throwsAsync(contest(entrants, work, settings), { message: 'groupconv: too difficult' });
  leave(entrants);
});

test('a peer answers line by line, and goes on after an error', async (t) => {
  const peer = new Peer(fake('groupconv', 1, 1).program!);
  t.is((await peer.ask({ command: 'describe', threads: 1 })).version, '1.0');
  await t.throwsAsync(peer.ask({ command: 'dance' } as never), { message: 'unknown command' });
  t.deepEqual((await peer.ask({ command: 'run', seconds: 1, atLeast: 1 })).samples, [1, 2]);
  if (process.platform === 'linux') t.true(peer.peakResidentBytes()! > 1e6);
  peer.close();
});
