/**
 * Names of torchvision's ResNet and ResNeXt, which timm shares, for what groupconv's ResNeXt names otherwise; timm's for
 * squeeze-and-excitation. torchvision's MobileNets have the keys of groupconv's.
 */
const rules: readonly [pattern: RegExp, name: string | ((...found: string[]) => string)][] = [
  [/^conv1\.0\./, 'conv1.'],
  [/^conv1\.1\./, 'bn1.'],
  [
    /^conv(\d+)_blocks\.(\d+)\.residual\.([0134679])\./,
    (_, stage, block, layer) =>
      `layer${Number(stage) - 1}.${block}.${Number(layer) % 3 === 0 ? 'conv' : 'bn'}${Math.floor(Number(layer) / 3) + 1}.`,
  ],
  [/^conv(\d+)_blocks\.(\d+)\.residual\.8\./, (_, stage, block) => `layer${Number(stage) - 1}.${block}.se.`],
  [
    /^conv(\d+)_blocks\.(\d+)\.shortcut\./,
    (_, stage, block) => `layer${Number(stage) - 1}.${block}.downsample.`,
  ],
  [/^classifier\.(?=weight$|bias$)/, 'fc.'],
];

/**
 * What torchvision and timm call an entry of a ResNeXt's state: `conv3_blocks.0.residual.4.weight` is their
 * `layer2.0.bn2.weight`; null for an entry that their networks don't have. Blocks are in the grouped form.
 */
export function torchvisionKey(key: string): string | null {
  for (const [pattern, name] of rules) if (pattern.test(key)) return key.replace(pattern, name as string);
  return null;
}

/** A state under torchvision's keys, to be saved for PyTorch. Entries that have no other name keep theirs. */
export function torchvisionState<T>(state: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...state].map(([key, value]) => [torchvisionKey(key) ?? key, value]));
}
