// How node-gyp is called without any download: the one that npm brings, and the headers of the running node.
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';

const commonGypi = `{
  'variables': { 'configuring_node%': 0, 'visibility%': 'default' },
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': {
      'Release': { 'cflags': ['-O3'], 'defines': ['NDEBUG'] },
      'Debug': { 'cflags': ['-O0', '-g'] }
    },
    'cflags': ['-fPIC', '-pthread'],
    'ldflags': ['-pthread', '-rdynamic'],
    'conditions': [['OS=="mac"', { 'ldflags': ['-undefined dynamic_lookup'] }]]
  }
}
`;

/** A folder laid out as --nodedir wants it: node's own, or one made of the package node-api-headers. */
function nodeDirectory(root, require) {
  const own = resolve(process.execPath, '..', '..');
  if (existsSync(join(own, 'include', 'node', 'common.gypi'))) return own;
  const made = join(root, 'build-headers');
  const include = join(made, 'include', 'node');
  mkdirSync(include, { recursive: true });
  cpSync(require('node-api-headers').include_dir, include, { recursive: true });
  writeFileSync(join(include, 'common.gypi'), commonGypi);
  return made;
}

/** Script and arguments for process.execPath. */
export function nodeGypArguments(root, require) {
  const npms = process.env.npm_config_node_gyp;
  const script = npms && existsSync(npms) ? npms : require.resolve('node-gyp/bin/node-gyp.js');
  const args = [script, 'rebuild', '-j', String(availableParallelism())];
  if (process.platform !== 'win32') args.push(`--nodedir=${nodeDirectory(root, require)}`);
  return args;
}
