import { describe, expect, it } from 'vitest';
import { checkedHostLabels, hostLabelFault } from './host-label.ts';

describe('a label', () => {
  it('is key=value with one =, or one word', () => {
    expect(checkedHostLabels(['site=ams1', 'role:edge', 'rack 7'])).toEqual(['site=ams1', 'role=edge', 'rack 7']);
    for (const label of ['a=b=c', 'a==', '=b', 'a='])
      expect([label, hostLabelFault(label)]).toEqual([label, expect.stringContaining('for instance site=ams1')]);
    expect(() => checkedHostLabels(['a:b=c'])).toThrow('“a=b=c” is no label: write key=value');
  });
});
