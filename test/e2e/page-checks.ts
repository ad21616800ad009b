import { AxeBuilder } from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';
import { join } from 'node:path';

const screenshots = join(import.meta.dirname, '../../docs/screenshots');
const wcag = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** Collects what a clean console never produces: content policy violations, script errors, failed requests. */
export const watchFaults = async (page: Page): Promise<readonly string[]> => {
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console error: ${message.text()}`);
  });
  page.on('requestfailed', (request) => {
    // Leaving a page ends its requests; that is no fault.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') faults.push(`failed request: ${new URL(request.url()).pathname}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`content policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  return faults;
};

/** No accessibility violation on the page as it stands (WCAG 2.2 AA). */
export const expectAccessible = async (page: Page, view: string): Promise<void> => {
  const { violations } = await new AxeBuilder({ page }).withTags(wcag).analyze();
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  expect(found, `accessibility of ${view}`).toEqual([]);
};

/** A picture for the documentation, after fonts and transitions have settled. */
export const takeScreenshot = async (page: Page, name: string, secrets: readonly string[] = []): Promise<void> => {
  await page.evaluate(() => document.fonts.ready.then(() => undefined));
  await page.screenshot({
    path: join(screenshots, `${name}.png`),
    animations: 'disabled',
    mask: secrets.map((testId) => page.getByTestId(testId)),
    maskColor: '#334155',
  });
};
