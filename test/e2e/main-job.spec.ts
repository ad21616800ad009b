/** The main job: create a fleet, enrol hosts, see them, plan a change, see its effect, apply it, take it back. */
import { expect, test, type Page } from '@playwright/test';
import type { ChildProcess } from 'node:child_process';
import { agentArgv, type LabHost } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { Lab, hosts } from '../lab/lab.ts';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { clientNamespace, serverPorts, webServers } from '../lab/topology.ts';
import { startConsoleHost, type ConsoleHost } from './console-host.ts';
import { expectAccessible, takeScreenshot, watchFaults } from './page-checks.ts';

test.describe.configure({ mode: 'serial' });

const passphrase = 'correct horse battery staple';
const deniedPort = serverPorts.httpAlternate;
const mappingName = 'deny-alternate-web';
/** Source port of the one connection that the review must name. */
const heldPort = 41_812;
const [edge1] = hosts;

let lab: Lab;
let host: ConsoleHost;
let page: Page;
let faults: readonly string[];
let heldConnection: ChildProcess | undefined;

test.beforeAll(async ({ browser }) => {
  lab = Lab.attach();
  host = await startConsoleHost();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  page = await context.newPage();
  faults = await watchFaults(page);
  await page.goto(host.address);
});

test.afterAll(async () => {
  heldConnection?.kill('SIGKILL');
  await page?.context().close();
  await host?.[Symbol.asyncDispose]();
});

/** HTTP status seen by curl in the client namespace, or its exit code as text when it got none. */
const curl = async (address: string, port: number): Promise<string> => {
  const { code, stdout } = await lab.exec('client', [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    '--max-time',
    '2',
    `http://${address}:${port}/`,
  ]);
  return code === 0 ? stdout : `curl ${code}`;
};

const enrol = async (labHost: LabHost, isFirst: boolean): Promise<void> => {
  await page.getByTestId('add-host').first().click();
  await page.getByTestId('host-name').fill(labHost.name);
  await page.getByTestId('host-address').fill(labHost.managementAddress);
  await page.getByTestId('host-labels').fill('edge,');
  await page.getByTestId('make-token').click();
  const token = (await page.getByTestId('join-token').textContent()) ?? '';
  expect(token).toMatch(/^nest1\.[\w-]+$/);
  if (isFirst) {
    await expectAccessible(page, 'join command');
    await takeScreenshot(page, '02-join-token', ['join-token', 'join-command']);
  }
  const joined = await command(agentArgv(labHost, ['join', token]));
  const shown = page.getByTestId('fingerprint');
  await expect(shown).toBeVisible();
  const fingerprint = (await shown.getAttribute('data-fingerprint')) ?? '';
  expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
  expect(joined.replaceAll(/[^0-9a-f]/g, '')).toContain(fingerprint);
  if (isFirst) await takeScreenshot(page, '03-compare-fingerprint');
  await page.getByTestId('approve-fingerprint').click();
  await expect(page.getByTestId('enrollment-state')).toHaveAttribute('data-state', 'enrolled');
  await page.getByTestId('enrollment-done').click();
};

/** Confirms the apply dialog; a change that cuts many flows asks for their number. */
const confirmApply = async (): Promise<void> => {
  const dialog = page.getByTestId('apply-dialog');
  const typed = page.getByTestId('apply-typed');
  await expect(dialog).toBeVisible();
  if ((await typed.count()) > 0) {
    const cut = /cut ([\d,]+) live flow/.exec((await page.getByTestId('apply-confirm').textContent()) ?? '')?.[1] ?? '';
    await typed.fill(cut.replaceAll(',', ''));
  }
  await page.getByTestId('apply-confirm').click();
};

/** Applies what is reviewed and keeps it. */
const keepPlanned = async (): Promise<void> => {
  await expect(page.getByTestId('impact')).toBeVisible();
  await page.getByTestId('apply').click();
  await confirmApply();
  await page.getByTestId('keep-change').click();
  await expect(page.getByTestId('rollout-state')).toHaveAttribute('data-state', 'confirmed');
  await page.getByTestId('rollout-done').click();
};

const openEdge1 = async (): Promise<void> => {
  await page.getByTestId('nav-hosts').click();
  await page
    .getByTestId('hosts-table')
    .getByRole('link', { name: edge1?.name ?? '' })
    .click();
};

/** A virtual address over the web servers behind one host. */
const shopPolicy = (labHost: LabHost | undefined): PolicyDocument => ({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'allow',
  services: [{ name: 'shop', addresses: [labHost?.virtual4 ?? ''] }],
  mappings: [
    {
      name: 'shop',
      sources: ['any'],
      destinations: ['shop'],
      protocols: ['tcp'],
      ports: [String(serverPorts.http)],
      action: 'balance',
      priority: 100,
      backends: webServers.map((name, index) => ({ name, address: labHost?.web4[index] ?? '', port: serverPorts.web })),
      healthCheck: { kind: 'tcp', intervalMs: 500, timeoutMs: 400, rise: 1, fall: 2 },
    },
  ],
});

/** The choice is drawn once the core has stored it. */
const chooseScheme = async (scheme: 'dark' | 'light' | 'contrast'): Promise<void> => {
  const choice = page.getByTestId('scheme').getByRole('radio', { name: new RegExp(scheme, 'i') });
  await choice.click();
  await expect(choice).toBeChecked();
};

/** Types entries into a field that takes several. */
const fillTokens = async (testId: string, values: readonly string[]): Promise<void> => {
  const input = page.getByTestId(testId);
  for (const value of values) {
    await input.fill(value);
    await input.press(',');
  }
};

test('creates a fleet whose keys are under a passphrase', async () => {
  await expectAccessible(page, 'create fleet');
  await page.getByTestId('fleet-name').fill('Lab fleet');
  await page.getByTestId('operator-name').fill('ada');
  await page.getByTestId('storage-passphrase').check();
  await page.getByTestId('passphrase').fill(passphrase);
  await page.getByTestId('passphrase-again').fill(passphrase);
  await takeScreenshot(page, '01-create-fleet');
  await page.getByTestId('create-fleet').click();
  await expect(page.getByRole('heading', { name: 'Hosts', level: 1 })).toBeVisible();
  await expectAccessible(page, 'empty fleet');
});

test('enrols three hosts by tokens, the fingerprints compared', async () => {
  for (const [index, labHost] of hosts.entries()) await enrol(labHost, index === 0);
});

test('shows live packet rates of all three', async () => {
  const table = page.getByTestId('hosts-table');
  for (const { name } of hosts) {
    const row = table.getByRole('row').filter({ hasText: name });
    await expect(row).toContainText('Healthy');
    await expect(row).toContainText(/XDP/i);
  }
  // Enough seconds for the small charts to have a shape.
  await expect.poll(async () => await table.getByRole('row').count()).toBeGreaterThanOrEqual(hosts.length);
  await page.waitForTimeout(8_000);
  await expectAccessible(page, 'hosts');
  await takeScreenshot(page, '04-hosts-live');
});

test('opens a host with its live charts, interfaces and flows', async () => {
  await page
    .getByTestId('hosts-table')
    .getByRole('link', { name: edge1?.name ?? '' })
    .click();
  await expect(page.getByRole('heading', { name: edge1?.name ?? '', level: 1 })).toBeVisible();
  await page.waitForTimeout(4_000);
  await expectAccessible(page, 'host overview');
  await takeScreenshot(page, '05-host');
  await page.getByTestId('tab-interfaces').click();
  await expect(page.getByText('lan0').first()).toBeVisible();
  await expectAccessible(page, 'host interfaces');
  await takeScreenshot(page, '06-interfaces');
});

test('writes a deny mapping, checked while typing', async () => {
  heldConnection = lab.spawn(clientNamespace, 'held-connection', ['nc', '-p', String(heldPort), edge1?.server4 ?? '', String(deniedPort)]);
  await page.getByTestId('nav-policy').click();
  await page.getByTestId('choose-all-hosts').click();
  await page.getByTestId('tab-services').click();
  await page.getByTestId('add-service').click();
  await page.getByTestId('service-name').fill('clients');
  await fillTokens('service-addresses', ['198.18.1.0/24', '198.18.2.0/24', '198.18.3.0/24', '2001:db8:1::/48']);
  await page.getByTestId('add-service').click();
  await page.getByTestId('service-name').fill('servers');
  await fillTokens('service-addresses', ['198.19.0.0/16', '2001:db8:2::/48']);
  await page.getByTestId('tab-mappings').click();
  await page.getByTestId('add-mapping').click();
  await page.getByTestId('mapping-name').fill(mappingName);
  await page.getByRole('button', { name: 'Remove any' }).first().click();
  await fillTokens('mapping-sources', ['clients']);
  await page.getByRole('button', { name: 'Remove any' }).first().click();
  await fillTokens('mapping-destinations', ['servers']);
  await fillTokens('mapping-ports', ['99999']);
  await expect(page.getByTestId('mapping-form')).toContainText(/65535|range/i);
  await expect(page.getByTestId('review-effect')).toBeDisabled();
  await page.getByRole('button', { name: 'Remove 99999' }).click();
  await fillTokens('mapping-ports', [String(deniedPort)]);
  await page.getByTestId('mapping-priority').fill('500');
  await expect(page.getByTestId('review-effect')).toBeEnabled();
  await expectAccessible(page, 'policy editor');
  await takeScreenshot(page, '07-policy-editor');
});

test('names in the review the very flow that will be cut', async () => {
  await page.getByTestId('review-effect').click();
  await expect(page.getByTestId('impact')).toBeVisible();
  const flows = page.getByTestId('impact-flows');
  await expect(flows).toContainText(`${edge1?.client4}:${heldPort}`);
  await expect(flows.getByRole('row').filter({ hasText: `${edge1?.client4}:${heldPort}` })).toContainText(mappingName);
  await expect(page.getByTestId('impact-cut')).toContainText(/[1-9][\d,]* will be cut, [1-9][\d,]* of them live now/);
  await expect(page.getByTestId('difference')).toContainText(mappingName);
  await expectAccessible(page, 'review');
  await takeScreenshot(page, '08-review');
  await page.setViewportSize({ width: 1920, height: 1080 });
  await takeScreenshot(page, '08-review-1920');
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('applies to three hosts with a visible countdown, and curl is cut', async () => {
  expect(await curl(edge1?.server4 ?? '', deniedPort)).toBe('200');
  await page.getByTestId('apply').click();
  await expect(page.getByTestId('apply-hosts')).toContainText('edge-3');
  await takeScreenshot(page, '09-apply');
  await confirmApply();
  await expect(page.getByTestId('rollout-state')).toHaveAttribute('data-state', 'pending');
  await expect(page.getByTestId('countdown')).toBeVisible();
  await expectAccessible(page, 'rollout');
  await takeScreenshot(page, '10-countdown');
  for (const { server4, server6 } of hosts) {
    expect(await curl(server4, deniedPort)).toBe('curl 28');
    expect(await curl(`[${server6}]`, deniedPort)).toBe('curl 28');
    expect(await curl(server4, serverPorts.http)).toBe('200');
  }
});

test('says in counters, flows and a trace why, with the name of the mapping', async () => {
  const rollout = page.url();
  await page.getByTestId('nav-hosts').click();
  await page
    .getByTestId('hosts-table')
    .getByRole('link', { name: edge1?.name ?? '' })
    .click();
  await page.getByTestId('tab-policy').click();
  const counted = page.getByRole('row').filter({ hasText: mappingName });
  await expect(counted.first()).toContainText(/[1-9]/);
  await expectAccessible(page, 'host policy');
  await takeScreenshot(page, '11-mapping-counters');
  await page.getByTestId('tab-flows').click();
  await page.getByTestId('flow-verdict').selectOption('denied');
  await expect(page.getByTestId('flows-table')).toContainText(mappingName);
  await expectAccessible(page, 'flows');
  await takeScreenshot(page, '12-denied-flows');
  await page
    .getByTestId('flows-table')
    .getByRole('link', { name: /^Trace / })
    .first()
    .click();
  await page.getByTestId('trace-run').click();
  await expect(page.getByTestId('trace-verdict')).toContainText(/denied/i);
  await expect(page.getByTestId('trace-verdict')).toContainText(mappingName);
  await expectAccessible(page, 'trace');
  await takeScreenshot(page, '13-trace');
  await page.goto(rollout);
});

test('takes the change back on request, and curl works', async () => {
  await page.getByTestId('undo-change').click();
  await expect(page.getByTestId('rollout-state')).toHaveAttribute('data-state', 'rolled-back');
  await takeScreenshot(page, '14-taken-back');
  for (const { server4 } of hosts) expect(await curl(server4, deniedPort)).toBe('200');
});

test('keeps a change when told to, and lists it in the history', async () => {
  await page.getByTestId('nav-policy').click();
  await page.getByTestId('review-effect').click();
  await page.getByTestId('apply').click();
  await confirmApply();
  await page.getByTestId('keep-change').click();
  await expect(page.getByTestId('rollout-state')).toHaveAttribute('data-state', 'confirmed');
  expect(await curl(edge1?.server4 ?? '', deniedPort)).toBe('curl 28');
  await page.getByTestId('rollout-done').click();
  await page
    .getByTestId('hosts-table')
    .getByRole('link', { name: edge1?.name ?? '' })
    .click();
  await page.getByTestId('tab-history').click();
  await expect(
    page
      .getByRole('row')
      .filter({ hasText: /taken back|rolled/i })
      .first(),
  ).toBeVisible();
  await expectAccessible(page, 'history');
  await takeScreenshot(page, '15-history');
});

test("returns to an older revision from the history, under the host's own guard", async () => {
  await page.getByTestId('rollback').first().click();
  await page.getByTestId('rollback-confirm').click();
  await expect(page.getByRole('row').filter({ hasText: 'Back to revision' }).first()).toContainText(/confirmed|in force|current/i);
});

test('balances a virtual address over three servers, and drains one, from the console', async () => {
  await page.getByTestId('nav-policy').click();
  await page.getByTestId('import').click();
  await page.getByTestId('import-text').fill(JSON.stringify(shopPolicy(edge1)));
  await page.getByTestId('read-import').click();
  await expect(page.getByTestId('import-dialog')).toBeHidden();
  await page.getByTestId('review-effect').click();
  await keepPlanned();
  await openEdge1();
  await page.getByTestId('tab-balancers').click();
  const balancer = page.getByTestId('balancer-shop');
  for (const name of webServers) await expect(balancer.getByTestId(`backend-${name}`)).toContainText('Up');
  for (let request = 0; request < 30; request++) expect(await curl(edge1?.virtual4 ?? '', serverPorts.http)).toBe('200');
  await expect(balancer).toContainText(/\d+ %/);
  await expect(balancer.getByRole('img', { name: /^New flows of web-1: \d/ })).toBeVisible();
  await expectAccessible(page, 'balancers');
  await takeScreenshot(page, '18-balancers');
  await balancer
    .getByTestId('backend-web-3')
    .getByRole('button', { name: /^Drain/ })
    .click();
  await page.getByTestId('backend-review').click();
  await keepPlanned();
  await openEdge1();
  await page.getByTestId('tab-balancers').click();
  await expect(page.getByTestId('backend-web-3')).toContainText('Draining');
  await lab.stopWebServer('web-2');
  await expect(page.getByTestId('backend-web-2')).toContainText('Down');
  for (let request = 0; request < 10; request++) expect(await curl(edge1?.virtual4 ?? '', serverPorts.http)).toBe('200');
  lab.startWebServer('web-2');
  await takeScreenshot(page, '19-drained');
});

test('looks right in light, large and high contrast', async () => {
  for (const scheme of ['light', 'contrast'] as const) {
    await page.getByTestId('nav-settings').click();
    await chooseScheme(scheme);
    await page.getByTestId('nav-hosts').click();
    await expect(page.getByTestId('hosts-table')).toBeVisible();
    await page.setViewportSize({ width: 1920, height: 1080 });
    await expectAccessible(page, `hosts, ${scheme}`);
    await takeScreenshot(page, `16-hosts-${scheme}-1920`);
    await page.setViewportSize({ width: 1280, height: 800 });
  }
  await page.getByTestId('nav-settings').click();
  await chooseScheme('dark');
});

test('shows the last state and its age when all agents are gone', async () => {
  for (const labHost of hosts) await lab.stopAgent(labHost);
  await page.getByTestId('nav-hosts').click();
  await expect(page.getByTestId('hosts-table')).toContainText(/offline/i);
  await expect(page.getByTestId('hosts-table')).toContainText(/ago/i);
  await expectAccessible(page, 'offline fleet');
  await takeScreenshot(page, '17-offline');
  for (const labHost of hosts) await lab.startAgent(labHost, AbortSignal.timeout(30_000));
  for (const { name } of hosts)
    await expect(page.getByTestId('hosts-table').getByRole('row').filter({ hasText: name })).toContainText('Healthy', { timeout: 45_000 });
});

test('never violated the content policy or raised a script error', () => {
  expect(faults).toEqual([]);
});
