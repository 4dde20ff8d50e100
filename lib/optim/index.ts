export { AdamW, type AdamWOptions } from './adamW.js';
export { clipGradNorm } from './clipGradNorm.js';
export { decayGroups } from './decayGroups.js';
export { GradScaler, type GradScalerOptions, type GradScalerState } from './gradScaler.js';
export { Optimizer, type OptimizerState, type ParameterGroup, type Trainable } from './optimizer.js';
export { cosine, type Schedule, Scheduler, stepLR, warmup } from './schedules.js';
export { SGD, type SGDOptions } from './sgd.js';
