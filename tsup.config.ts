import { defineConfig } from 'tsup';

export default defineConfig({
  entry: { index: 'lib/index.ts' },
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  dts: true,
  shims: true, // import.meta.url in the CJS build
  splitting: false,
  sourcemap: true,
  clean: true,
  keepNames: true, // summary shows classes by their names
});
