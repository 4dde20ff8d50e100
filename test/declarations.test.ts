/** The declarations that the package ships compile by themselves: a user's project may check libraries, too. */
import { resolve } from 'node:path';
import test from 'ava';
import ts from 'typescript';

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
};

function declarations(): Map<string, string> {
  const files = new Map<string, string>();
  const emit = { declaration: true, emitDeclarationOnly: true, stripInternal: true, skipLibCheck: true };
  ts.createProgram(['lib/index.ts'], { ...options, exactOptionalPropertyTypes: false, ...emit }).emit(
    undefined,
    (name, text) => files.set(resolve(name), text),
  );
  return files;
}

test('declarations without what is internal make sense', (t) => {
  const files = declarations();
  const host = ts.createCompilerHost({ ...options, noEmit: true });
  const { fileExists, getSourceFile } = host;
  host.fileExists = (name) => files.has(name) || (!/\/lib\/.*(?<!\.d)\.ts$/.test(name) && fileExists(name));
  host.getSourceFile = (name, ...more) => {
    const text = files.get(name);
    return text === undefined
      ? getSourceFile(name, ...more)
      : ts.createSourceFile(name, text, ts.ScriptTarget.ES2022);
  };
  const program = ts.createProgram([resolve('lib/index.d.ts')], { ...options, noEmit: true }, host);
  const found = ts.getPreEmitDiagnostics(program);
  t.true(files.size > 50);
  const ours = found.filter(({ file }) => file && files.has(file.fileName));
  t.deepEqual(
    ours.map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    ),
    [],
  );
});
