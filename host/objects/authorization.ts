/**
 * `authz-simple` and `authz-list`: who may do what names the object. Whoever comes is called by the name in his certificate.
 *
 * A list is gone through from the front; the first rule that fits decides, and its policy when none does. What changes in an
 * object holds from the next one on who comes.
 */
import { array, enumeration, optional, str, struct, type TypeOf } from '../qapi/types.ts';
import type { ObjectType, UserObject } from './object-type.ts';
import { plainProperty } from './properties.ts';
import type { QomProperty } from './qom.ts';

const policyType = enumeration('QAuthZListPolicy', ['deny', 'allow']);
const ruleType = struct('QAuthZListRule', {
  match: str,
  policy: policyType,
  format: optional(enumeration('QAuthZListFormat', ['exact', 'glob'])),
});
const rulesType = array(ruleType);
const simpleOptions = struct('AuthZSimpleProperties', { identity: str });
const listOptions = struct('AuthZListProperties', {
  policy: optional(policyType),
  rules: optional(rulesType),
});

type Rule = TypeOf<typeof ruleType>;

export const authzSimple: ObjectType<TypeOf<typeof simpleOptions>> = {
  name: 'authz-simple',
  options: simpleOptions,
  create(_context, _id, options): UserObject {
    const identity = plainProperty('identity', str, options.identity);
    return {
      typeName: 'authz-simple',
      properties: [identity],
      allows: (name) => name === current(identity),
    };
  },
};

export const authzList: ObjectType<TypeOf<typeof listOptions>> = {
  name: 'authz-list',
  options: listOptions,
  create(_context, _id, options): UserObject {
    const policy = plainProperty('policy', policyType, options.policy ?? 'deny');
    const rules = plainProperty('rules', rulesType, options.rules ?? []);
    return {
      typeName: 'authz-list',
      properties: [policy, rules],
      allows(name) {
        // What is set has been checked against the property's type.
        const rule = (current(rules) as Rule[]).find((one) => matches(one, name));
        return (rule?.policy ?? current(policy)) === 'allow';
      },
    };
  },
};

function current(property: QomProperty): unknown {
  return property.get?.();
}

/** `*` is any text and `?` any character. */
function matches({ match, format }: Rule, name: string): boolean {
  if (format !== 'glob') return match === name;
  const parts = match.split(/([*?])/).map((part) => {
    if (part === '*') return '.*';
    return part === '?' ? '.' : part.replace(/[\\^$.|+()[\]{}]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`, 'su').test(name);
}
