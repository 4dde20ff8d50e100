import type { Device } from '../device.js';
import { check, show } from '../errors.js';
import { deviceOf, Module } from '../module.js';
import { count, withDefaults } from '../options.js';
import type { Tensor4D } from '../tensor.js';
import { ReLU } from './activation.js';
import { BatchNorm2d } from './batchNorm2d.js';
import { type BottleneckForm, bottleneckForms, convertBottleneckState } from './bottleneckForms.js';
import { Branches } from './branches.js';
import { consuming, runResidual } from './chain.js';
import { Conv2d } from './conv2d.js';
import { imagewiseForward } from './depthFirst.js';
import { Identity } from './identity.js';
import { Sequential, stepsOf } from './sequential.js';
import { SqueezeExcitation } from './squeezeExcitation.js';

export interface BottleneckOptions {
  /** The number of branches, C in the paper; divides width. 32 by default. */
  cardinality?: number;
  /** Output channels are width * expansion; 2 by default. */
  expansion?: number;
  /** Of the 3x3 convolution, and of the projection. */
  stride?: number;
  /** Whether the shortcut is a 1x1 convolution with a BatchNorm2d (else the identity). */
  projection?: boolean;
  /** Whether the projection's convolution has a bias; true by default. */
  projectionBias?: boolean;
  /** Whether there is a shortcut at all; true by default. */
  residual?: boolean;
  /**
   * For a {@link SqueezeExcitation} at the end of the residual function, by how much fewer channels it has between its
   * convolutions than around them (Hu et al. 2018: 16); null, as by default, for none.
   */
  squeezeReduction?: number | null;
  /** 'grouped' by default. */
  form?: BottleneckForm;
}

const defaults: Required<BottleneckOptions> = {
  cardinality: 32,
  expansion: 2,
  stride: 1,
  projection: false,
  projectionBias: true,
  residual: true,
  squeezeReduction: null,
  form: 'grouped',
};

type Layers = Sequential<Tensor4D, Tensor4D>;
const layers = (...modules: Module[]): Layers => new Sequential<Tensor4D, Tensor4D>(...modules);

/** 1x1, 3x3 and, of so many channels out, 1x1: the residual function before its last BatchNorm. */
function trunk(
  inChannels: number,
  width: number,
  stride: number,
  groups: number,
  outChannels: number | null,
): Module[] {
  return [
    new Conv2d(inChannels, width, 1, { bias: false }),
    new BatchNorm2d(width),
    new ReLU(),
    new Conv2d(width, width, 3, { stride, padding: 1, groups, bias: false }),
    new BatchNorm2d(width),
    new ReLU(),
    ...(outChannels === null ? [] : [new Conv2d(width, outChannels, 1, { bias: false })]),
  ];
}

/**
 * The block of ResNeXt (Xie et al. 2017): y = relu(shortcut(x) + sum over i of T_i(x)), each T_i a bottleneck of
 * width / cardinality channels. The three forms of figure 3 compute the same function:
 *
 * - 'grouped' (c): 1x1 to width, grouped 3x3, 1x1. Fast.
 * - 'concat' (b): the branches' 1x1 and 3x3 apart, concatenated, then one 1x1.
 * - 'aggregated' (a): the branches apart to the end, summed before the last BatchNorm.
 */
export class Bottleneck extends Module {
  readonly residual: Layers;
  readonly shortcut: Layers | Identity | null;
  readonly relu: ReLU;
  /** What this block was made with, defaults filled in. */
  readonly options: Readonly<Required<BottleneckOptions>>;

  /**
   * @param inChannels channels of x
   * @param width of the 3x3 convolution, all branches together
   * @throws INVALID_ARGUMENT when cardinality doesn't divide width, when the identity doesn't fit, for unknown options
   */
  constructor(
    readonly inChannels: number,
    readonly width: number,
    options: BottleneckOptions = {},
  ) {
    super();
    this.options = withDefaults('Bottleneck', options, defaults);
    const { cardinality, stride, projection, projectionBias, residual, squeezeReduction, form } =
      this.options;
    count('Bottleneck', 'inChannels', inChannels);
    count('Bottleneck', 'stride', stride);
    check(
      count('Bottleneck', 'width', width) % count('Bottleneck', 'cardinality', cardinality) === 0,
      'INVALID_ARGUMENT',
      () => `Bottleneck: cardinality ${cardinality} doesn't divide width ${width}`,
    );
    const outChannels = count('Bottleneck', 'width * expansion', this.outChannels);
    check(
      squeezeReduction === null ||
        outChannels % count('Bottleneck', 'squeezeReduction', squeezeReduction) === 0,
      'INVALID_ARGUMENT',
      () => `Bottleneck: squeezeReduction ${squeezeReduction} doesn't divide ${outChannels} output channels`,
    );
    check(
      bottleneckForms.includes(form),
      'INVALID_ARGUMENT',
      () => `Bottleneck: form is one of ${bottleneckForms.join(', ')}, found ${show(form)}`,
    );
    check(
      !residual || projection || (inChannels === outChannels && stride === 1),
      'INVALID_ARGUMENT',
      () =>
        `Bottleneck: ${inChannels} channels in, ${outChannels} out at stride ${stride} need projection: true, or residual: false`,
    );
    this.residual = this.#makeResidual();
    this.shortcut = null;
    if (residual && projection)
      this.shortcut = layers(
        new Conv2d(inChannels, outChannels, 1, { stride, bias: projectionBias }),
        new BatchNorm2d(outChannels),
      );
    else if (residual) this.shortcut = new Identity();
    this.relu = new ReLU();
  }

  get outChannels(): number {
    return this.width * this.options.expansion;
  }
  /** The last BatchNorm of the residual function; `zeroInitResidual` zeroes its weight. */
  get lastNorm(): BatchNorm2d {
    return [...this.residual].findLast((module) => module instanceof BatchNorm2d) as BatchNorm2d;
  }

  /** [N, inChannels, H, W] to [N, width * expansion, P, Q], P = ceil(H / stride). @throws INVALID_SHAPE, DISPOSED */
  override forward(x: Tensor4D): Tensor4D {
    return this.run(x, false);
  }

  /** @internal Given x away, its memory may become the output's. */
  run(x: Tensor4D, given: boolean): Tensor4D {
    return runResidual(stepsOf([this.residual]), this.shortcut, this.relu, x, given);
  }

  /** A new block of another form with the same weights, statistics and mode; this one stays as it is. */
  withForm(form: BottleneckForm): Bottleneck {
    const block = new Bottleneck(this.inChannels, this.width, { ...this.options, form });
    const state = convertBottleneckState(this.stateDict(), this.options.cardinality, this.options.form, form);
    block.loadStateDict(state);
    for (const converted of state.values()) converted.dispose();
    return block.to(deviceOf(this) as Device).train(this.training);
  }

  #makeResidual(): Layers {
    const { inChannels, width, outChannels } = this;
    const { cardinality, stride, squeezeReduction, form } = this.options;
    const end: Module[] = [new BatchNorm2d(outChannels)];
    if (squeezeReduction !== null)
      end.push(new SqueezeExcitation(outChannels, outChannels / squeezeReduction));
    if (form === 'grouped')
      return layers(...trunk(inChannels, width, stride, cardinality, outChannels), ...end);
    const inBranch = form === 'aggregated' ? outChannels : null;
    const branches = Array.from({ length: cardinality }, () =>
      layers(...trunk(inChannels, width / cardinality, stride, 1, inBranch)),
    );
    if (form === 'aggregated') return layers(new Branches('sum', branches), ...end);
    return layers(
      new Branches('concat', branches),
      new Conv2d(width, outChannels, 1, { bias: false }),
      ...end,
    );
  }
}

imagewiseForward(Bottleneck);
consuming(Bottleneck, (block, x) => block.run(x as Tensor4D, true));
