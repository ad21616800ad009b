import { describe, expect, it } from 'vitest';
import * as rules from './rules.ts';

describe('tidy', () => {
  it('reports a file over the size limit and a function over the length limit', () => {
    expect(rules.checkSize({ path: 'agent/x.ts', text: 'x'.repeat(25_001) })).toHaveLength(1);
    expect(rules.checkSize({ path: 'agent/x.ts', text: '\n'.repeat(501) })).toHaveLength(1);
    const long = `export const f = (): void => {\n${'  g();\n'.repeat(80)}};\n`;
    expect(rules.checkFunctions({ path: 'agent/x.ts', text: long })).toEqual([
      'agent/x.ts:1: a function of 82 lines, at most 70: split it',
    ]);
    expect(rules.checkFunctions({ path: 'agent/x.test.ts', text: long })).toEqual([]);
  });

  it('reports names that say nothing and unknown extensions', () => {
    expect(rules.checkName({ path: 'agent/utils.ts', text: '' })).toHaveLength(1);
    expect(rules.checkName({ path: 'agent/HostTable.ts', text: '' })).toHaveLength(1);
    expect(rules.checkName({ path: 'native/src/hostTable.cc', text: '' })).toHaveLength(1);
    expect(rules.checkName({ path: 'agent/run.exe', text: '' })).toHaveLength(1);
    expect(rules.checkName({ path: 'agent/host-table.test.ts', text: '' })).toEqual([]);
  });

  it('reports open ends, silent skips and machine paths', () => {
    for (const text of [
      ['// TO', 'DO later'],
      ['it.sk', "ip('x', f);"],
      ["const path = '/wo", "rk/main';"],
    ].map((parts) => parts.join(''))) {
      expect(rules.checkTexts({ path: 'agent/x.ts', text })).toHaveLength(1);
    }
  });

  it('wants a licence line in C files, a paragraph in api files and one title in documents', () => {
    expect(rules.checkHeader({ path: 'bpf/lib/x.h', text: '#ifndef X\n' })).toHaveLength(1);
    expect(rules.checkHeader({ path: 'bpf/lib/x.h', text: '/* SPDX-License-Identifier: GPL-2.0-only */\n' })).toEqual([]);
    expect(rules.checkHeader({ path: 'agent/engine/api.ts', text: 'export const x = 1;\n' })).toHaveLength(1);
    expect(rules.checkHeader({ path: 'docs/A.md', text: '# One\n\n```\n# not a title\n```\n' })).toEqual([]);
    expect(rules.checkHeader({ path: 'docs/A.md', text: '# One\n# Two\n' })).toHaveLength(1);
  });

  it('holds version and error lists equal', () => {
    expect(rules.checkVersion('1.2.3.99\n', '1.2.3', '## 1.2.3.99\n')).toEqual([]);
    expect(rules.checkVersion('v1.2', '1.2.3', '')).toHaveLength(3);
    const codes = rules.errorCodesOf('enum E {\n  ERROR_CODE_UNSPECIFIED = 0;\n  ERROR_CODE_NOT_FOUND = 1;\n}');
    expect(codes).toEqual(['NOT_FOUND']);
    expect(rules.checkErrorDocs(codes, '| `NOT_FOUND` | x |\n')).toEqual([]);
    expect(rules.checkErrorDocs(codes, '| `GONE` | x |\n')).toHaveLength(2);
  });
});
