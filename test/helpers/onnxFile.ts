// What stands in an ONNX file, read by the field numbers of onnx.proto: independent of how lib/ writes it.

import { readFileSync } from 'node:fs';
import { PbfReader } from 'pbf';

export interface OnnxNode {
  op: string;
  name: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, number | number[]>;
}
export interface OnnxTensor {
  shape: number[];
  values: Float32Array | BigInt64Array;
}
export interface OnnxValue {
  name: string;
  elementType: number;
  shape: (number | string)[];
}
export interface OnnxFile {
  irVersion: number;
  opset: number;
  producer: string;
  metadata: Record<string, string>;
  graph: string;
  nodes: OnnxNode[];
  constants: Map<string, OnnxTensor>;
  inputs: OnnxValue[];
  outputs: OnnxValue[];
}

/** Reads a message by what to do with each of its fields; an unknown one is an error. */
function message<T>(
  pbf: PbfReader,
  result: T,
  fields: Record<number, (result: T, pbf: PbfReader) => void>,
): T {
  return pbf.readMessage((tag, into, reader) => {
    const read = fields[tag];
    if (!read) throw new Error(`field ${tag} has no meaning here`);
    read(into, reader);
  }, result);
}

function readAttribute(pbf: PbfReader): [string, number | number[]] {
  const found = message(
    pbf,
    { name: '', f: 0, i: 0, ints: [] as number[], type: 0 },
    {
      1: (a, r) => {
        a.name = r.readString();
      },
      2: (a, r) => {
        a.f = r.readFloat();
      },
      3: (a, r) => {
        a.i = r.readVarint(true);
      },
      8: (a, r) => {
        r.readPackedVarint(a.ints, true);
      },
      20: (a, r) => {
        a.type = r.readVarint();
      },
    },
  );
  const values: Record<number, number | number[]> = { 1: found.f, 2: found.i, 7: found.ints };
  const value = values[found.type];
  if (value === undefined) throw new Error(`${found.name} has type ${found.type}`);
  return [found.name, value];
}

function readNode(pbf: PbfReader): OnnxNode {
  const node: OnnxNode = { op: '', name: '', inputs: [], outputs: [], attributes: {} };
  return message(pbf, node, {
    1: (n, r) => {
      n.inputs.push(r.readString());
    },
    2: (n, r) => {
      n.outputs.push(r.readString());
    },
    3: (n, r) => {
      n.name = r.readString();
    },
    4: (n, r) => {
      n.op = r.readString();
    },
    5: (n, r) => {
      const [name, value] = readAttribute(r);
      n.attributes[name] = value;
    },
  });
}

function readTensor(pbf: PbfReader): [string, OnnxTensor] {
  const found = message(
    pbf,
    { name: '', dims: [] as number[], type: 0, raw: new Uint8Array() },
    {
      1: (x, r) => {
        r.readPackedVarint(x.dims, true);
      },
      2: (x, r) => {
        x.type = r.readVarint();
      },
      8: (x, r) => {
        x.name = r.readString();
      },
      9: (x, r) => {
        x.raw = new Uint8Array(r.readBytes());
      },
    },
  );
  const bytes = found.raw.slice().buffer;
  const values = found.type === 1 ? new Float32Array(bytes) : new BigInt64Array(bytes);
  const size = found.dims.reduce((product, extent) => product * extent, 1);
  if (![1, 7].includes(found.type) || size !== values.length)
    throw new Error(`${found.name}: type ${found.type}, [${found.dims}], ${values.length} values`);
  return [found.name, { shape: found.dims, values }];
}

function readValue(pbf: PbfReader): OnnxValue {
  const value: OnnxValue = { name: '', elementType: 0, shape: [] };
  return message(pbf, value, {
    1: (v, r) => {
      v.name = r.readString();
    },
    2: (v, r) => {
      message(r, v, {
        1: (_, type) => {
          message(type, v, {
            1: (_v, t) => {
              v.elementType = t.readVarint();
            },
            2: (_v, t) => {
              message(t, v, {
                1: (_s, dim) => {
                  message(dim, v, {
                    1: (_d, d) => {
                      v.shape.push(d.readVarint());
                    },
                    2: (_d, d) => {
                      v.shape.push(d.readString());
                    },
                  });
                },
              });
            },
          });
        },
      });
    },
  });
}

export function readOnnx(path: string): OnnxFile {
  const file: OnnxFile = {
    irVersion: 0,
    opset: 0,
    producer: '',
    metadata: {},
    graph: '',
    nodes: [],
    constants: new Map(),
    inputs: [],
    outputs: [],
  };
  const pbf = new PbfReader(readFileSync(path));
  const fields: Record<number, (r: PbfReader) => void> = {
    1: (r) => {
      file.irVersion = r.readVarint();
    },
    2: (r) => {
      file.producer = r.readString();
    },
    7: (r) => {
      message(r, file, {
        1: (f, g) => {
          f.nodes.push(readNode(g));
        },
        2: (f, g) => {
          f.graph = g.readString();
        },
        5: (f, g) => {
          f.constants.set(...readTensor(g));
        },
        11: (f, g) => {
          f.inputs.push(readValue(g));
        },
        12: (f, g) => {
          f.outputs.push(readValue(g));
        },
      });
    },
    8: (r) => {
      message(r, file, {
        2: (f, o) => {
          f.opset = o.readVarint();
        },
      });
    },
    14: (r) => {
      const entry = message(
        r,
        { key: '', value: '' },
        {
          1: (e, p) => {
            e.key = p.readString();
          },
          2: (e, p) => {
            e.value = p.readString();
          },
        },
      );
      file.metadata[entry.key] = entry.value;
    },
  };
  return pbf.readFields((tag, into, reader) => {
    const read = fields[tag];
    if (!read) throw new Error(`field ${tag} of the model has no meaning here`);
    read(reader);
    return into;
  }, file);
}
