import { PbfWriter } from 'pbf';
import type { Attribute, Constant, Graph, GraphValue, Node } from './graph.js';

/**
 * ONNX's file format: the message ModelProto of onnx.proto, in protocol buffers. Numbers of fields and types below are
 * those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Tensors' bytes are parts of their own, so that
 * weights aren't copied.
 */

/** TensorProto.DataType */
const FLOAT = 1;
const INT64 = 7;
/** AttributeProto.AttributeType */
const attributeTypes = { real: 1, whole: 2, wholes: 7 };
/** The wire type of texts, bytes and messages. */
const LENGTH_DELIMITED = 2;

type Parts = Uint8Array[];

const sizeOf = (parts: Parts) => parts.reduce((total, { byteLength }) => total + byteLength, 0);

function fields(write: (pbf: PbfWriter) => void): Uint8Array {
  const pbf = new PbfWriter();
  write(pbf);
  return pbf.finish();
}
/** A field that is a message or bytes. */
function nested(field: number, parts: Parts): Parts {
  const prefix = fields((pbf) => {
    pbf.writeTag(field, LENGTH_DELIMITED);
    pbf.writeVarint(sizeOf(parts));
  });
  return [prefix, ...parts];
}

/** AttributeProto: name 1, f 2, i 3, ints 8, type 20. */
function writeAttribute([name, value]: [string, Attribute], pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  if (typeof value === 'number') {
    pbf.writeVarintField(3, value);
    pbf.writeVarintField(20, attributeTypes.whole);
  } else if ('real' in value) {
    pbf.writeFloatField(2, value.real);
    pbf.writeVarintField(20, attributeTypes.real);
  } else {
    for (const item of value) pbf.writeVarintField(8, item);
    pbf.writeVarintField(20, attributeTypes.wholes);
  }
}

/** NodeProto: input 1, output 2, name 3, op_type 4, attribute 5. */
function writeNode({ op, name, inputs, attributes }: Node, pbf: PbfWriter): void {
  for (const input of inputs) pbf.writeStringField(1, input);
  pbf.writeStringField(2, name);
  pbf.writeStringField(3, name);
  pbf.writeStringField(4, op);
  for (const attribute of Object.entries(attributes)) pbf.writeMessage(5, writeAttribute, attribute);
}

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
function tensorParts(name: string, { shape, values }: Constant): Parts {
  const description = fields((pbf) => {
    for (const extent of shape) pbf.writeVarintField(1, extent);
    pbf.writeVarintField(2, values instanceof Float32Array ? FLOAT : INT64);
    pbf.writeStringField(8, name);
  });
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return [description, ...nested(9, [bytes])];
}

/** ValueInfoProto: name 1, type 2 > tensor_type 1 > elem_type 1, shape 2 > dim 1 > dim_value 1 or dim_param 2. */
function writeValue({ name, shape }: GraphValue, pbf: PbfWriter): void {
  const writeDimension = (extent: number | string, inner: PbfWriter) => {
    if (typeof extent === 'number') inner.writeVarintField(1, extent);
    else inner.writeStringField(2, extent);
  };
  const writeShape = (_: unknown, inner: PbfWriter) => {
    for (const extent of shape) inner.writeMessage(1, writeDimension, extent);
  };
  const writeTensor = (_: unknown, inner: PbfWriter) => {
    inner.writeVarintField(1, FLOAT);
    inner.writeMessage(2, writeShape, null);
  };
  const writeType = (_: unknown, inner: PbfWriter) => inner.writeMessage(1, writeTensor, null);
  pbf.writeStringField(1, name);
  pbf.writeMessage(2, writeType, null);
}

/** GraphProto: node 1, name 2, initializer 5, input 11, output 12. */
function graphParts(name: string, { nodes, constants, input, output }: Graph): Parts {
  const description = fields((pbf) => {
    for (const node of nodes) pbf.writeMessage(1, writeNode, node);
    pbf.writeStringField(2, name);
    pbf.writeMessage(11, writeValue, input);
    pbf.writeMessage(12, writeValue, output);
  });
  return [description, ...[...constants].flatMap(([key, value]) => nested(5, tensorParts(key, value)))];
}

/** The version of the file format that came with a version of the operators. */
const irVersion = (opset: number) => (opset < 15 ? 7 : opset < 19 ? 8 : opset < 21 ? 9 : 10);

/** ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8 > version 2, metadata_props 14 > key 1, value 2. */
export function encodeModel(
  name: string,
  graph: Graph,
  opset: number,
  metadata: Readonly<Record<string, string>>,
): Parts {
  const description = fields((pbf) => {
    pbf.writeVarintField(1, irVersion(opset));
    pbf.writeStringField(2, 'groupconv');
    pbf.writeMessage(8, (version: number, inner) => inner.writeVarintField(2, version), opset);
    for (const entry of Object.entries(metadata))
      pbf.writeMessage(
        14,
        ([key, value]: [string, string], inner) => {
          inner.writeStringField(1, key);
          inner.writeStringField(2, value);
        },
        entry,
      );
  });
  return [description, ...nested(7, graphParts(name, graph))];
}
