/* What the checks share: a context of the browser, the made-up server, and what must never happen on any page. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext, Page } from 'playwright-core';
import { World } from '../../web/mock/world';
import type { MockServer } from '../../web/mock/server';
import { assert, equal } from './tap';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export type Theme = 'dark' | 'light';

export class Session {
  url = '';
  complaints: string[] = [];
  strangers: string[] = [];
  expected: RegExp[] = []; /* complaints a check provokes on purpose */
  readonly #pages: Page[] = [];

  constructor(
    readonly context: BrowserContext,
    readonly mock: MockServer,
  ) {}

  async start(): Promise<void> {
    this.url = await this.mock.listen();
    await this.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
  }

  async stop(): Promise<void> {
    await this.mock.close();
  }

  /* After each check: fresh server, no pages, nothing stored. */
  async reset(): Promise<void> {
    for (const page of this.#pages.splice(0)) await page.close({ runBeforeUnload: false }).catch(() => undefined);
    this.mock.mode = 'ok';
    this.mock.signedIn = true;
    this.mock.mustChange = false;
    this.mock.asked = [];
    this.mock.world = new World();
    this.complaints = [];
    this.strangers = [];
    this.expected = [];
  }

  async open(path: string, theme: Theme = 'dark', base = this.url): Promise<Page> {
    const page = await this.context.newPage();
    this.#pages.push(page);
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(base) && !/^(blob|data):/.test(request.url())) this.strangers.push(request.url());
    });
    await page.goto(base + path);
    return page;
  }

  /* No error, no violation of the content security policy, no request to anybody else. */
  expectQuiet(): void {
    const bad = this.complaints.filter((text) => !this.expected.some((pattern) => pattern.test(text)));
    equal(bad, [], 'complaints of the page');
    equal(this.strangers, [], 'requests to others');
  }

  async expectAccessible(page: Page): Promise<void> {
    await page.evaluate(axeSource).catch(() => undefined);
    const hasAxe = await page.evaluate(() => 'axe' in globalThis);
    assert(hasAxe, 'axe could not be loaded');
    const violations = await page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run(options: unknown): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }> } };
      const result = await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
      return result.violations.map((item) => `${item.id}: ${item.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary?.split('\n')[1] ?? ''}`).join(' | ')}`);
    });
    equal(violations, [], 'axe');
  }

  async expectNoSidewaysScroll(page: Page): Promise<void> {
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert(inner <= outer, `the page is ${inner} px wide in a window of ${outer} px`);
  }
}
