import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mergeSection, toRow, toSectionReport } from './report.ts';
import type { Report, Row } from './report.ts';
import { readReport, saveReport } from './saved-report.ts';

const order = ['cost', 'nftables'];
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-t-report-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const row = (figure: string, value: number): Row => toRow({ figure, unit: 'x', samples: [value] });
const withSection = (report: Report, name: string, rows: readonly Row[]): Report =>
  mergeSection(report, toSectionReport(name, new Date('2026-02-03T04:05:06Z'), rows), order);
const costs = [1, 4096].flatMap((flows) =>
  [10, 10_000].map((mappings) =>
    row(`established, ${flows.toLocaleString('en-US')} packets, ${mappings.toLocaleString('en-US')} mappings`, 50),
  ),
);

describe('a saved report', () => {
  it('is read as it was written', async () => {
    const report = withSection(readReport(folder, 'packet'), 'cost', costs);
    await saveReport(folder, report);
    expect(readReport(folder, 'packet')).toEqual(report);
  });

  it('says of each section when and where it was taken, and shows its plots there', async () => {
    const rules = [10, 1000].flatMap((rule) => {
      const size = rule.toLocaleString('en-US');
      return [row(`nftables v1.0.6, ${size} rules, drop in prerouting`, 70), row(`${size} mappings, every packet judged and denied`, 1400)];
    });
    await saveReport(folder, withSection(withSection(readReport(folder, 'packet'), 'cost', costs), 'nftables', rules));
    const text = readFileSync(join(folder, 'packet.md'), 'utf8');
    const [cost = '', nftables = ''] = text.split('## ').slice(1);
    for (const part of [cost, nftables]) expect(part).toMatch(/2026-02-03 04:05 UTC, .+, Linux .+, Node v/);
    expect(cost).toContain('](cost-over-flows.svg)');
    expect(nftables).toContain('](packets-over-rules.svg)');
    const svg = readFileSync(join(folder, 'packets-over-rules.svg'), 'utf8');
    expect(svg.match(/<circle/g)).toHaveLength(4);
    expect(readdirSync(folder).sort()).toEqual([
      'cost-over-flows.svg',
      'packet.json',
      'packet.md',
      'packets-over-mappings.svg',
      'packets-over-rules.svg',
    ]);
  });

  it('is not made of a file that is something else', () => {
    writeFileSync(join(folder, 'packet.json'), '{"suite":"packet","rows":[]}');
    expect(() => readReport(folder, 'packet')).toThrow(/move it away/);
  });
});
