/** SchemaInfo: the types in which `query-qmp-schema` describes types, its own answer included. */
import {
  type ArrayType,
  any,
  array,
  bool,
  enumeration,
  optional,
  type StructType,
  str,
  struct,
  type UnionType,
} from '../qapi/types.ts';

const features = { features: optional(array(str)) };

const branches: Record<string, StructType> = {
  builtin: struct('SchemaInfoBuiltin', {
    'json-type': enumeration('JSONType', [
      'string',
      'number',
      'int',
      'boolean',
      'null',
      'object',
      'array',
      'value',
    ]),
  }),
  enum: struct('SchemaInfoEnum', {
    members: array(struct('SchemaInfoEnumMember', { name: str, ...features })),
    values: array(str),
  }),
  array: struct('SchemaInfoArray', { 'element-type': str }),
  object: struct('SchemaInfoObject', {
    members: array(
      struct('SchemaInfoObjectMember', { name: str, type: str, default: optional(any), ...features }),
    ),
    tag: optional(str),
    variants: optional(array(struct('SchemaInfoObjectVariant', { case: str, type: str }))),
  }),
  alternate: struct('SchemaInfoAlternate', {
    members: array(struct('SchemaInfoAlternateMember', { type: str })),
  }),
  command: struct('SchemaInfoCommand', {
    'arg-type': str,
    'ret-type': str,
    'allow-oob': optional(bool),
  }),
  event: struct('SchemaInfoEvent', { 'arg-type': str }),
};

const schemaInfo: UnionType = {
  kind: 'union',
  name: 'SchemaInfo',
  base: struct('SchemaInfoBase', {
    name: str,
    'meta-type': enumeration('SchemaMetaType', Object.keys(branches)),
    ...features,
  }),
  discriminator: 'meta-type',
  branches: () => branches,
};

export const schemaInfoList: ArrayType = array(schemaInfo);
