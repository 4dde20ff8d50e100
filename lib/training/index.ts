export { loadCheckpoint, saveCheckpoint, type TrainingParts } from './checkpoint.js';
export { ConfusionMatrix } from './confusionMatrix.js';
export { EMA, type EMAOptions } from './ema.js';
export { type Classifier, type EvaluateOptions, evaluate, type Loss } from './evaluate.js';
export {
  type CheckpointOptions,
  type EpochReport,
  type FitOptions,
  fit,
  type History,
  type StepReport,
} from './fit.js';
export { accuracy, type Metric, type Metrics, type Scores, topK } from './metrics.js';
