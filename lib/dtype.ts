/** Element types. bfloat16 and float16 are read and written as Float32Array. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'int32';

/** What activations are computed in: float32 on every device, the narrow ones where the device has them. */
export type FloatDType = 'float32' | 'bfloat16' | 'float16';

/** What `data()` of a tensor of this dtype returns. */
export type TypedArrayOf<D extends DType> = D extends 'int32' ? Int32Array : Float32Array;

const order: readonly DType[] = ['float32', 'bfloat16', 'float16', 'int32'];

/** @internal The number that the native side knows a dtype by; -1 for what is none. */
export function dtypeCode(dtype: DType): number {
  return order.indexOf(dtype);
}
/** Whether it is a dtype of floating point. */
export function isFloatDType(value: unknown): value is FloatDType {
  return isDType(value) && value !== 'int32';
}
export function isDType(value: unknown): value is DType {
  return order.includes(value as DType);
}
