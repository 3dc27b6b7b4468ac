import { gzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { EMAIL, PASSWORD } from '../../web/mock/server';
import { graphDrawn } from './browser';
import type { Session, Theme } from './session';
import { assert, check, equal } from './tap';

interface PageCase {
  name: string;
  path: string;
  ready: (page: Page) => Promise<unknown>;
  before?: (session: Session) => void;
}

const see = (text: string) => (page: Page) => page.getByText(text).first().waitFor();
const drawn = async (page: Page): Promise<void> => {
  await graphDrawn(page);
  await page.locator('.timeline canvas').waitFor();
};

const pages: PageCase[] = [
  { name: 'sign-in', path: '/login', ready: see('Sign in to Oculi'), before: (s) => (s.mock.signedIn = false) },
  { name: 'first password', path: '/views', ready: see('Choose a password of your own'), before: (s) => (s.mock.mustChange = true) },
  { name: 'first run', path: '/start', ready: see('6 online') },
  { name: 'first run, nothing there', path: '/start', ready: see('Waiting for an agent'), before: (s) => (s.mock.mode = 'empty') },
  { name: 'view, path', path: '/views/1', ready: drawn },
  { name: 'view, path of an agent', path: '/views/1?agent=2&node=hop+203.0.113.20', ready: async (page) => { await drawn(page); await page.getByRole('complementary', { name: 'Path of Frankfurt' }).waitFor(); } },
  { name: 'view, graph as table', path: '/views/1?as=table', ready: (page) => page.getByRole('region', { name: 'The path graph as a table' }).waitFor() },
  { name: 'view, table', path: '/views/1?tab=table&metric=jitter', ready: (page) => page.getByRole('button', { name: 'Singapore' }).waitFor() },
  { name: 'view, table of a continuous test', path: '/views/3?tab=table&sort=-seconds', ready: (page) => page.getByRole('columnheader', { name: 'Lost seconds' }).waitFor() },
  { name: 'view, disabled test', path: '/views/4', ready: see('No rounds in this range') },
  { name: 'views, nothing there', path: '/views', ready: see('Set up monitoring'), before: (s) => (s.mock.mode = 'empty') },
  { name: 'tests', path: '/tests', ready: see('Customer portal') },
  { name: 'tests, nothing there', path: '/tests', ready: see('No tests yet'), before: (s) => (s.mock.mode = 'empty') },
  { name: 'new test', path: '/tests/new', ready: async (page) => { await see('Amsterdam')(page); await page.getByText('Advanced settings').click(); } },
  { name: 'edit test', path: '/tests/agent-to-server/1/edit', ready: (page) => page.waitForFunction(() => document.querySelector<HTMLInputElement>('[data-field="server"] input')?.value !== '') },
  { name: 'agents', path: '/agents?add=1', ready: see('probe-prague') },
  { name: 'agents, nothing there', path: '/agents', ready: see('No agent has called in yet'), before: (s) => (s.mock.mode = 'empty') },
  { name: 'profile', path: '/settings/profile', ready: see('Change the password') },
  { name: 'no such page', path: '/nowhere', ready: see('There is no such page') },
  { name: 'failure', path: '/tests', ready: see('The tests could not be fetched'), before: (s) => { s.mock.mode = '500'; s.expected.push(/status of 500/); } },
];

function everyPage(session: Session): void {
  for (const theme of ['dark', 'light'] as Theme[]) {
    for (const item of pages) {
      check(`${item.name}, ${theme}: accessible, within the content security policy`, async () => {
        item.before?.(session);
        session.expected.push(/status of 40[14]/);
        const page = await session.open(item.path, theme);
        await item.ready(page);
        equal(await page.evaluate(() => document.documentElement.dataset.theme), theme, 'theme');
        await session.expectAccessible(page);
        session.expectQuiet();
      });
    }
  }
  for (const item of pages) {
    check(`${item.name}: fits into 320 px`, async () => {
      item.before?.(session);
      const page = await session.open('/settings/profile');
      await page.setViewportSize({ width: 320, height: 640 });
      await page.goto(session.url + item.path);
      await item.ready(page);
      await session.expectNoSidewaysScroll(page);
    });
  }
}

function signingIn(session: Session): void {
  check('signing in returns to the same URL', async () => {
    session.mock.signedIn = false;
    session.expected.push(/status of 401/);
    const page = await session.open('/views/1?agent=2&metric=jitter');
    await page.getByLabel('E-mail').fill(EMAIL);
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('do not belong together').waitFor();
    await page.getByLabel('Password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('complementary', { name: 'Path of Frankfurt' }).waitFor();

    equal(new URL(page.url()).searchParams.get('agent'), '2', 'agent');
    session.expectQuiet();
  });
  check('signing in never leads to another site', async () => {
    const page = await session.open('/login?to=//evil.example/');
    await page.waitForURL(/\/views/);
  });
  check('the first password must be changed, and the server names what is wrong', async () => {
    session.mock.mustChange = true;
    session.expected.push(/status of 400/);
    const page = await session.open('/tests');
    await page.getByLabel('Present password').fill('nonsense');
    await page.getByLabel('New password', { exact: true }).fill('short');
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('At least 12 characters.').waitFor();
    await page.getByLabel('New password', { exact: true }).fill('long enough by far');
    await page.getByLabel('New password again').fill('long enough by far');
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('This is not the present password').waitFor();
    await page.getByLabel('Present password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('Customer portal').waitFor();
    equal(new URL(page.url()).pathname, '/tests', 'page');
  });
  check('a session that ends leads to sign-in and back', async () => {
    session.expected.push(/status of 401/);
    const page = await session.open('/tests?search=pay');
    await page.getByText('Payments API').waitFor();
    session.mock.mode = '401';
    await page.getByRole('link', { name: 'Agents' }).click();
    await page.getByLabel('E-mail').fill(EMAIL);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByText('probe-prague').waitFor();
    equal(new URL(page.url()).pathname, '/agents', 'page');
  });
}

function viewState(session: Session): void {
  const state = '/views/1?metric=avgLatency&from=-6h&agents=2.5&agent=2&node=hop+203.0.113.20&only=1&fold=0&find=transit&loss=20&delay=60';
  check('reloading keeps every selection', async () => {
    const page = await session.open(state);
    const read = async (): Promise<unknown> => {
      await drawn(page);
      return page.evaluate(() => ({
        url: location.search,
        pressed: [...document.querySelectorAll('[aria-pressed="true"]')].map((node) => node.textContent?.trim()),
        find: document.querySelector<HTMLInputElement>('[data-hotkey="f"]')?.value,
        hops: document.querySelector('aside')?.getAttribute('aria-label'),
        card: document.querySelector('section[aria-label^="Details"]')?.getAttribute('aria-label'),
        nodes: document.querySelector<HTMLCanvasElement>('canvas[data-drawn]')?.dataset.drawn,
      }));
    };
    const before = await read();
    await page.reload();
    equal(await read(), before, 'after reloading');
    equal((before as { card: string }).card, 'Details of 203.0.113.20', 'card');
    session.expectQuiet();
  });
  check('Back undoes a selection', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    await page.getByRole('button', { name: 'Jitter' }).click();
    await page.getByRole('button', { name: 'Only problems' }).click();
    await page.waitForURL(/only=1/);
    await page.goBack();
    await page.waitForURL((url) => url.search === '?metric=jitter');
    equal(await page.getByRole('button', { name: 'Only problems' }).getAttribute('aria-pressed'), 'false', 'only problems');
    await page.goBack();
    await page.waitForURL((url) => url.search === '');
  });
  check('what a URL has and the page does not know is said, not an error', async () => {
    const page = await session.open('/views/1?colour=red&loss=900');
    await page.getByText('colour, loss=900').or(page.getByText('loss=900, colour')).waitFor();
    await drawn(page);
  });
  check('rounds are chosen by keyboard, buttons and clicks; the latest is live', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    await page.getByText('live', { exact: true }).waitFor();
    await page.locator('body').press('[');
    await page.waitForURL(/round=\d+/);
    const first = Number(new URL(page.url()).searchParams.get('round'));
    await page.locator('.timeline').press('ArrowLeft');
    await page.waitForURL(new RegExp(`round=${first - 300}`));
    await page.locator('.timeline').press('Shift+ArrowLeft');
    await page.waitForURL(new RegExp(`round=${first - 300 - 3600}`));
    await page.getByText('frozen').waitFor();
    const box = await page.locator('.timeline .u-over').boundingBox();
    assert(box, 'the timeline has no plot');
    await page.mouse.click(box.x + box.width * 0.5, box.y + box.height / 2);
    await page.waitForFunction((round) => Number(new URLSearchParams(location.search).get('round')) < round, first - 10000);
    await page.getByRole('button', { name: 'Latest' }).click();
    await page.getByText('live', { exact: true }).waitFor();
  });
  check('without a range in the URL, the age of the test decides', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    const pressed = page.getByRole('group', { name: 'Range' }).locator('[aria-pressed=true]');
    const asked = session.mock.asked.find((line) => line.includes('/timeline'));
    equal([await pressed.textContent(), /from=-24h/.test(asked ?? '')], ['24 h', true], 'range of an old test');
    session.mock.world.age = 1800;
    await page.reload();
    await page.getByText(/first round 3\d min ago/).waitFor();
    equal(await pressed.textContent(), '1 h', 'range of a young test');
  });
  check('dragging on the timeline zooms, a double click fits', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    const box = await page.locator('.timeline .u-over').boundingBox();
    assert(box, 'the timeline has no plot');
    await page.mouse.move(box.x + box.width * 0.6, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 30, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=\d+&to=\d+/);
    const query = new URL(page.url()).searchParams;
    const span = Number(query.get('to')) - Number(query.get('from'));
    assert(span > 7000 && span < 11000, `zoomed to ${span} s, expected a tenth of a day`);
    equal(query.get('round'), null, 'round');
    await page.getByRole('button', { name: 'Zoom out' }).click();
    await page.waitForFunction((s) => { const q = new URLSearchParams(location.search); return Math.abs(Number(q.get('to')) - Number(q.get('from')) - 2 * s) < 5; }, span);
    await page.locator('.timeline .u-over').dblclick();
    await page.waitForURL((url) => !url.searchParams.has('from'));
  });
}

function graph(session: Session): void {
  check('the graph is walked by keyboard and spoken', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    const canvas = page.locator('canvas[role=img]');
    const spoken = page.locator('.host [aria-live]');
    const label = await canvas.getAttribute('aria-label');
    assert(label?.includes('Paths from 6 agents to app.example.net:443') && label.includes('Transit A (AS 64511)'), `label: ${label}`);
    await canvas.focus();
    await page.keyboard.press('ArrowRight');
    const first = await spoken.textContent();
    assert(/loss/.test(first ?? ''), `spoken: ${first}`);
    await page.keyboard.press('ArrowDown');
    assert((await spoken.textContent()) !== first, 'down speaks another agent');
    await page.keyboard.press('ArrowRight');
    assert(/trace/.test((await spoken.textContent()) ?? ''), 'right speaks a hop');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await page.waitForURL(/agent=\d/);
    await page.getByRole('complementary').waitFor();
    await page.keyboard.press('Escape');
    await page.waitForURL((url) => !url.searchParams.has('agent'));
  });
  check('the pointer finds nodes: an agent opens its hops, a hop its card', async () => {
    const page = await session.open('/views/1?fold=0');
    await drawn(page);
    const canvas = page.locator('canvas[role=img]');
    const box = await canvas.boundingBox();
    assert(box, 'no canvas');
    for (let y = 20; y < box.height && !/agent=/.test(page.url()); y += 8) await canvas.click({ position: { x: 150, y } });
    await page.getByRole('complementary').waitFor();
    await page.getByRole('button', { name: '203.0.113.20' }).or(page.getByRole('button', { name: '192.0.2.9' })).first().click();
    await page.locator('section[aria-label^="Details of"]').waitFor();
    await page.waitForURL(/node=hop/);
  });
  check('the table has every node of the graph', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    const nodes = Number(await page.locator('canvas[data-drawn]').getAttribute('data-drawn'));
    await page.locator('body').press('t');
    const table = page.getByRole('region', { name: 'The path graph as a table' });
    await table.waitFor();
    equal(await table.locator('tbody tr').count(), nodes, 'rows');
  });
  check('the loss is found where it is, and limited replies are not taken for it', async () => {
    const page = await session.open('/views/1');
    await page.getByText('The loss is consistent with a fault at 203.0.113.20 or just behind it, in Transit A (AS 64511).').waitFor();
    await page.getByRole('button', { name: 'Show evidence' }).click();
    await page.waitForURL(/only=1/);
    await page.getByLabel('Details of 203.0.113.20').waitFor();
    const calm = await session.open('/views/1?as=table');
    await calm.getByText('replies limited').first().waitFor();
  });
  check('problems only, folding and search change what is drawn', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    const count = async (): Promise<number> => Number((await page.locator('.legend .r').textContent())?.split(' ')[0]);
    const folded = await count();
    await page.getByRole('button', { name: 'Fold plain hops' }).click();
    await page.waitForFunction((n) => Number(document.querySelector('.legend .r')?.textContent?.split(' ')[0]) > n, folded);
    const whole = await count();
    await page.locator('body').press('p');
    await page.waitForFunction((n) => Number(document.querySelector('.legend .r')?.textContent?.split(' ')[0]) < n, whole);
    await page.locator('body').press('f');
    await page.keyboard.type('transit-a');
    await page.getByText(/\d+ found/).waitFor();
  });
  check('exports are files with the content in them', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    for (const [item, pattern] of [['Picture (PNG)', /^.PNG/s], ['Drawing (SVG)', /<svg [^]*203\.0\.113\.20/], ['All hops (CSV)', /^roundId,agentId[^]*203\.0\.113\.20/], ['As sent (JSON)', /"roundId"[^]*203\.0\.113\.20/]] as const) {
      await page.getByRole('button', { name: 'Export' }).click();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: item }).click()]);
      const text = readFileSync(await download.path(), 'latin1');
      assert(pattern.test(text), `${item}: ${text.slice(0, 80)}`);
      assert(/^Customer-portal-paths-\d+\.\w+$/.test(download.suggestedFilename()), download.suggestedFilename());
    }
    await page.getByRole('tab', { name: 'Table' }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV' }).click()]);
    equal(readFileSync(await download.path(), 'utf8').trim().split('\r\n').length, 7, 'lines');
    session.expectQuiet();
  });
  check('the seconds that lost, of continuous tests only', async () => {
    const page = await session.open('/views/3?tab=table&sort=-seconds');
    await page.getByRole('columnheader', { name: 'Lost seconds' }).waitFor();
    const sparks = page.getByRole('img', { name: /^Loss in 3 of 60 seconds: \d\d:\d\d:20 to \d\d:\d\d:22$/ });
    equal(await sparks.count(), 1, 'agents that lost from second 20 on');
    equal(await sparks.locator('rect').count(), 60, 'bars');
    equal(await sparks.locator('rect.hot').count(), 3, 'bars of loss');
    const other = await session.open('/views/1?tab=table');
    await other.getByRole('button', { name: 'Singapore' }).waitFor();
    equal(await other.getByRole('columnheader', { name: 'Lost seconds' }).count(), 0, 'columns of another test');
    session.expectQuiet();
  });
}

function tests(session: Session): void {
  check('the list sorts, searches, and says so in the URL', async () => {
    const page = await session.open('/tests');
    await page.getByText('Customer portal').waitFor();
    const names = (): Promise<string[]> => page.locator('tbody .name').allTextContents();
    await page.getByRole('button', { name: 'Name', exact: true }).click();
    await page.waitForURL(/sort=testName/);
    await page.waitForFunction(() => document.querySelector('tbody .name')?.textContent === 'Customer portal');
    await page.getByRole('button', { name: 'Name', exact: true }).click();
    await page.waitForFunction(() => document.querySelector('tbody .name')?.textContent === 'VPN gateway');
    await page.locator('body').press('f');
    await page.keyboard.type('example.org');
    await page.getByText('2 found').waitFor();
    equal((await names()).sort(), ['Old intranet', 'VPN gateway'], 'found');
    await page.reload();
    await page.getByText('2 found').waitFor();
  });
  check('a test is switched off at once, and back when the server refuses', async () => {
    const page = await session.open('/tests');
    const toggle = page.getByRole('switch', { name: 'VPN gateway' });
    await toggle.click();
    equal(await toggle.getAttribute('aria-checked'), 'false', 'switched');
    for (let i = 0; i < 200 && session.mock.world.tests[2].enabled; i++) await page.waitForTimeout(50);
    equal(session.mock.world.tests[2].enabled, false, 'on the server');
    session.expected.push(/status of 500/);
    session.mock.mode = '500';
    await page.getByRole('switch', { name: 'Payments API' }).click();
    await page.getByText('was not disabled').waitFor();
    session.mock.mode = 'ok';
    await page.waitForFunction(() => document.querySelector('[role=switch][aria-label^="Payments"]')?.getAttribute('aria-checked') === 'true');
  });
  check('deleting asks first, and settings can be brought back', async () => {
    const page = await session.open('/tests');
    await page.getByRole('button', { name: 'Delete Payments API' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    equal(session.mock.world.tests.length, 4, 'tests after Cancel');
    await page.getByRole('button', { name: 'Delete Payments API' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('“Payments API” was deleted').waitFor();
    equal(session.mock.world.tests.length, 3, 'tests after Delete');
    await page.getByRole('button', { name: 'Create it again' }).click();
    await page.getByRole('link', { name: 'Payments API', exact: true }).waitFor();
    equal(session.mock.world.tests.at(-1)?.agents?.length, 3, 'agents');
  });
  check('a new test: what is wrong is said at its field, by us and by the server', async () => {
    session.expected.push(/status of 400/);
    const page = await session.open('/tests/new');
    await page.getByText('Amsterdam').first().waitFor();
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.locator('[data-field=server]').getByText('This is needed.').waitFor();
    await page.getByLabel('Target').fill('bad name!');
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.locator('[data-field=server]').getByText('Badly formed target').waitFor();
    await page.waitForFunction(() => document.activeElement?.closest('[data-field]')?.getAttribute('data-field') === 'server');
    await page.getByText('Advanced settings').click();
    await page.getByLabel('Number of path traces').fill('11');
    await page.getByLabel('Target').fill('good.example');
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.locator('[data-field=numPathTraces]').getByText('At most 10.').waitFor();
    await page.getByLabel('Number of path traces').fill('5');
    await page.getByText('6 agents × 12/h = 72 rounds an hour').waitFor();
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.waitForURL(/\/views\/9$/);
    const made = session.mock.world.tests.at(-1);
    equal([made?.server, made?.numPathTraces, made?.interval, made?.agents?.length], ['good.example', 5, 300, 6], 'test');
    await page.getByText('No agent has reported yet').waitFor();
    session.expectQuiet();
  });
  check('running once shows the results of each agent, without saving', async () => {
    const page = await session.open('/tests/new');
    await page.getByText('Amsterdam').first().waitFor();
    await page.getByRole('button', { name: 'None' }).click();
    await page.getByLabel('Target').fill('good.example');
    await page.getByRole('button', { name: 'Run once' }).click();
    await page.getByText('Choose at least one agent.').waitFor();
    for (const name of ['Amsterdam', 'Frankfurt', 'London']) await page.getByRole('checkbox', { name }).check();
    await page.getByRole('button', { name: 'Run once' }).click();
    await page.getByText('All 3 agents reported.').waitFor();
    await page.getByRole('cell', { name: '12%' }).waitFor();
    equal(session.mock.world.tests.length, 4, 'tests');
  });
  check('unsaved work is not lost by leaving', async () => {
    const page = await session.open('/tests');
    await page.getByRole('link', { name: 'Edit Customer portal' }).click();
    await page.waitForFunction(() => document.querySelector<HTMLInputElement>('[data-field="server"] input')?.value !== '');
    await page.getByLabel('Test name').fill('Renamed');
    await page.getByRole('link', { name: 'Agents' }).click();
    await page.getByRole('button', { name: 'Stay' }).click();
    equal(await page.getByLabel('Test name').inputValue(), 'Renamed', 'name');
    await page.goBack();
    await page.getByRole('button', { name: 'Stay' }).click();
    equal(new URL(page.url()).pathname, '/tests/agent-to-server/1/edit', 'page');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(/\/views\/1/);
    equal(session.mock.world.tests[0].testName, 'Renamed', 'name on the server');
    await page.getByRole('link', { name: 'Agents' }).click();
    await page.getByText('probe-prague').waitFor();
  });
}

function start(session: Session): void {
  check('the first run ticks itself, takes a URL as target, and lands in the view', async () => {
    const agents = session.mock.world.agents;
    session.mock.world.agents = [];
    session.mock.world.tests = [];
    const page = await session.open('/start');
    await page.getByText('Waiting for an agent to call in').waitFor();
    assert(await page.getByLabel('Target').isDisabled(), 'the target waits for an agent');
    session.mock.world.agents = agents.slice(0, 2);
    session.mock.tell('agent', { agentId: '1', agentState: 'online' });
    await page.getByText('2 online').waitFor();
    await page.getByLabel('Target').fill('https://app.example.net:8443/login?x=1');
    await page.getByRole('button', { name: 'Start the test' }).click();
    await page.waitForURL(/\/views\/9/);
    const made = session.mock.world.tests.at(-1);
    equal([made?.server, made?.protocol, made?.agents?.length], ['app.example.net:8443', 'tcp', 2], 'test');
  });
  check('steps of the first run can be skipped', async () => {
    session.mock.mode = 'empty';
    const page = await session.open('/start');
    await page.getByRole('button', { name: 'Skip', exact: true }).click();
    assert(await page.getByLabel('Target').isEnabled(), 'the target can be given');
  });
}

function liveData(session: Session): void {
  const streams = (): number => session.mock.asked.filter((line) => line.includes('/stream')).length;
  check('events make a page fetch again, and a frozen round stays', async () => {
    const page = await session.open('/views/1');
    await drawn(page);
    await page.getByText('Live', { exact: true }).waitFor();
    const asked = (): number => session.mock.asked.filter((line) => line.includes('/round?at=latest')).length;
    const before = asked();
    session.mock.tell('round', { testId: '1', roundId: 1, agentId: '1' });
    for (let i = 0; i < 200 && asked() === before; i++) await page.waitForTimeout(50);
    assert(asked() > before, 'the round was fetched again');
    session.mock.tell('round', { testId: '2', roundId: 1, agentId: '1' });
  });
  check('seven tabs share one stream, and all of them load', async () => {
    for (let i = 0; i < 7; i++) {
      const page = await session.open('/views/1');
      await drawn(page);
      await page.getByText('Live', { exact: true }).waitFor();
    }
    assert(streams() <= 3, `${streams()} streams were opened for seven tabs`);
  });
  check('a server that goes away: data stays, its age is said, and it comes back', async () => {
    session.expected.push(/ERR_|Failed to load/);
    const page = await session.open('/tests');
    await page.clock.install();
    await page.reload();
    await page.getByText('Customer portal').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    session.mock.mode = 'gone';
    session.mock.cut();
    await page.getByText('Connecting').waitFor();
    await page.clock.runFor(25_000);
    await page.getByText('Reconnecting to the server').waitFor();
    assert(await page.getByText('Customer portal').isVisible(), 'the list stays');
    await page.clock.runFor(40_000);
    await page.getByText('it is from before').waitFor();
    await page.getByText('The server cannot be reached').waitFor();
    session.mock.mode = 'ok';
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 40_000 });
    await page.clock.runFor(2000);
    await page.getByText('it is from before').waitFor({ state: 'detached' });
  });
}

function states(session: Session): void {
  check('a slow server: skeletons in the geometry of what comes, then the page', async () => {
    const page = await session.open('/settings/profile');
    await page.getByText('Change the password').waitFor();
    session.mock.mode = 'slow';
    await page.getByRole('link', { name: 'Tests', exact: true }).click();
    await page.getByRole('status', { name: 'Loading' }).waitFor();
    await page.getByText('Customer portal').waitFor();
  });
  check('a failing server: what failed, the id of the request, and trying again', async () => {
    session.expected.push(/status of 500/);
    session.mock.mode = '500';
    const page = await session.open('/agents');
    await page.getByText('The agents could not be fetched.').waitFor();
    await page.getByText(/request mock-\d+/).first().waitFor();
    session.mock.mode = 'ok';
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('probe-prague').waitFor();
  });
  check('a part that fails leaves the rest of the page', async () => {
    session.expected.push(/status of 500/);
    session.mock.mode = 'partial';
    const page = await session.open('/views/1');
    await page.getByText('the rest of the page is complete').waitFor();
    await page.locator('.timeline canvas').waitFor();
    await page.getByRole('tab', { name: 'Table' }).click();
    await page.getByRole('button', { name: 'Singapore' }).waitFor();
    await page.getByRole('tab', { name: 'Path' }).click();
    const again = page.getByRole('button', { name: 'Try again' });
    await again.waitFor();
    session.mock.mode = 'ok';
    await again.click({ timeout: 2000 }).catch(() => undefined); // a new round may have mended it before us
    await drawn(page);
  });
  check('a server that is away from the start is said so', async () => {
    session.expected.push(/ERR_|Failed to load/);
    const page = await session.open('/tests');
    await page.route('**/oculi/v1/session', (route) => route.abort());
    await page.reload();
    await page.getByText('Oculi is not answering.').waitFor();
    await page.unroute('**/oculi/v1/session');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('Customer portal').waitFor();
  });
  check('a test that does not exist is said so', async () => {
    session.expected.push(/status of 404/);
    const page = await session.open('/views/4711');
    await page.getByText('There is no such test.').first().waitFor();
  });
}

function budget(session: Session): void {
  check('the first load of Views is at most 160 KB of compressed JavaScript', async () => {
    const page = await session.open('/settings/profile');
    const sizes: number[] = [];
    page.on('response', (response) => {
      if (/\.js$/.test(new URL(response.url()).pathname)) void response.body().then((body) => sizes.push(gzipSync(body).length), () => undefined);
    });
    await page.context().clearCookies();
    await page.goto(`${session.url}/views/1`);
    await drawn(page);
    await page.waitForTimeout(300);
    const total = sizes.reduce((a, b) => a + b, 0);
    assert(sizes.length > 2 && total <= 160 * 1024, `${total} bytes in ${sizes.length} files`);
  });
}

export function mockChecks(session: Session): void {
  everyPage(session);
  signingIn(session);
  viewState(session);
  graph(session);
  tests(session);
  start(session);
  liveData(session);
  states(session);
  budget(session);
}
