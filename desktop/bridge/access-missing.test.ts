import { describe, expect, it } from 'vitest';
import { missingBundleText } from './access-missing.ts';

const none = { state: 'none', problem: null } as const;

describe('a console without an access bundle', () => {
  it('advises to begin one only when every host has said that it holds none', () => {
    for (const hosts of [[], [none], [none, { state: 'unsupported', problem: null }]] as const)
      expect(missingBundleText(hosts)).toMatch(/"nest access begin"/);
    for (const state of ['unknown', 'refused', 'behind', 'current'] as const) {
      const text = missingBundleText([none, { state, problem: 'edge-2: away.' }]);
      expect(text).toContain('1 of 2 hosts did not say whether they hold it. edge-2: away. Once');
      expect(text).not.toContain('access begin');
    }
  });
});
