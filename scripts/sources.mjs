// Prints the files of one group of native/sources.json, for binding.gyp. CMake reads the same list (cmake/Sources.cmake).
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Expands `*`, which stands for one folder or part of a file's name. */
function expand(pattern) {
  let found = [''];
  for (const part of pattern.split('/')) {
    const name = new RegExp(`^${part.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
    found = found.flatMap((folder) => {
      try {
        return readdirSync(join(root, folder))
          .filter((entry) => name.test(entry))
          .map((entry) => folder + (folder && '/') + entry);
      } catch {
        return []; // a file where the pattern wants a folder
      }
    });
  }
  return found.sort();
}

const group = process.argv[2];
const patterns = JSON.parse(readFileSync(join(root, 'native', 'sources.json'), 'utf8'))[group];
let files = patterns.flatMap(expand);
if (group === 'core') files = files.filter((file) => !/\.(simd|test)\.cpp$/.test(file));
console.log(files.join('\n'));
