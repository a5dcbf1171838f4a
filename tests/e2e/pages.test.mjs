// What a person does with the pages, in a browser: see ./run, which makes them.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { apart, PICTURE, take } from './picture.mjs';

const directory = fileURLToPath(new URL('./pages/', import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const address = (name) => pathToFileURL(join(directory, `${name}.html`)).href;
const CAMPAIGNS = ['campaign/index', 'passing/index', 'hostile/index'];
const SWEEPS = ['sweep-find', 'sweep', 'sweep-maps', 'sweep-hostile'];
const ALL = ['payments', 'lock', 'kv', 'report', 'faults', 'hostile', 'skewed', 'stale', 'large', 'huge', ...CAMPAIGNS, ...SWEEPS];

let browser;
let profile;
before(async () => {
  profile = mkdtempSync(join(tmpdir(), 'squall-e2e-'));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync),
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

// Opens a page, gives it to `use`, and fails on whatever it complains of or asks for.
const visit = async (name, options, use) => {
  const { fragment = '', width = 1280, height = 900, scheme = 'light' } = options;
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  page.on('request', (request) => { if (request.url().split('#')[0] !== address(name)) complaints.push(`asks for ${request.url()}`); });
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: scheme });
  await page.goto(address(name) + fragment);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
  try {
    await use(page);
  } finally {
    await page.close();
  }
  assert.deepEqual(complaints, []);
};
const state = (page) => page.evaluate(() => window.squallPage.state());
const spot = (page, event) => page.evaluate((event) => window.squallPage.spot(event), event);
const words = (page, event) => page.evaluate((event) => window.squallPage.text(event), event);
const find = (page, pattern) => page.evaluate((pattern) => {
  const { count } = window.squallPage.state();
  for (let event = 0; event < count; event++) if (new RegExp(pattern).test(window.squallPage.text(event))) return event;
  return -1;
}, pattern);
const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
};

for (const name of ALL) {
  test(`${name}: nothing is complained of, nothing asked for, and nobody is shut out`, async () => {
    for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 320]]) {
      await visit(name, { scheme, width }, async (page) => {
        assert.deepEqual(await violations(page), [], `${scheme}, ${width}`);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it scrolls sideways');
        // What is closed at first is looked at as well.
        await page.evaluate(() => document.querySelectorAll('details').forEach((one) => { one.open = true; }));
        assert.deepEqual(await violations(page), [], `${scheme}, ${width}, all open`);
      });
    }
  });
}

test('the top says what failed, what it takes, and how to see it again', async () => {
  await visit('payments', {}, async (page) => {
    assert.match(await page.title(), /^paid-once fails: payment 1 was debited twice · payments · seed 0x1$/);
    assert.match(await page.locator('h1').innerText(), /FAIL\s+paid-once fails: payment 1 was debited twice/);
    assert.match(await page.locator('#replay').innerText(), /replay .*paid-once-0x1\.toml$/);
    assert.deepEqual(await page.locator('#causes .grow > .text').allInnerTexts(), ['the answer to call 1 (Pay) from bank to alice is lost']);
    assert.match(await page.locator('#shrinking').innerText(), /7 decisions .* 6 were taken away and 1 is left.*Minimal/);
    assert.match(await page.locator('#facts-list').textContent(), /Seed0x1.*Digest[0-9a-f]{32}.*Determinism.*same digest/);
    const foot = await page.locator('#diagram').evaluate((canvas) => canvas.getBoundingClientRect().bottom);
    assert.ok(foot < 900, `the diagram ends at ${foot}, below the first screen`);
  });
});

test('a page that is not of what was saved says so', async () => {
  await visit('stale', {}, async (page) => {
    assert.match(await page.locator('#notice').innerText(), /^Not what was saved\. stale: 1 of 1 perturbations matched nothing/);
  });
  await visit('report', {}, async (page) => { assert.ok(await page.locator('#notice').isHidden()); });
});

test('what has no answer is in every percentile', async () => {
  await visit('kv', {}, async (page) => {
    assert.match(await page.locator('#latency-words').innerText(), /: median [\d.]+ ms, 99 of 100 never, longest never\. \d+ without an answer/);
  });
});

test('it opens at the failure', async () => {
  for (const name of ['payments', 'kv', 'report', 'hostile']) {
    await visit(name, {}, async (page) => {
      const { chosen, failure } = await state(page);
      assert.ok(failure >= 0 && chosen === failure);
      const { y } = await spot(page, failure);
      assert.ok(y > 30 && y < await page.locator('#diagram').evaluate((canvas) => canvas.clientHeight));
      assert.equal(await page.locator('#table .failed').count(), 1);
    });
  }
  // One that no event shows: at the end.
  await visit('lock', {}, async (page) => {
    const { failure, view, drawn } = await state(page);
    assert.equal(failure, -1);
    assert.ok(view[1] >= drawn - 0.5);
  });
});

test('arrows go from the sending on its node to the arrival on another, downwards', async () => {
  await visit('payments', {}, async (page) => {
    const sent = await find(page, '→ bank:80 call 1 Pay'), arrived = await find(page, '← alice call 1 Pay');
    const [from, to] = [await spot(page, sent), await spot(page, arrived)];
    assert.ok(from.y < to.y && Math.abs(from.x - to.x) > 50);
    // The same without even rows.
    await page.locator('#to-scale').check();
    const [first, second] = [await spot(page, sent), await spot(page, arrived)];
    assert.ok(first.y < second.y && first.x === from.x && second.x === to.x);
  });
});

test('a click selects both ends of a message, and an arrow is as good as its ends', async () => {
  await visit('payments', {}, async (page) => {
    const sent = await find(page, '→ bank:80 call 1 Pay'), arrived = await find(page, '← alice call 1 Pay');
    const [from, to] = [await spot(page, sent), await spot(page, arrived)];
    await page.locator('#diagram').click({ position: to });
    assert.deepEqual([(await state(page)).chosen, (await state(page)).other], [arrived, sent]);
    assert.match(await page.locator('#selection').innerText(), /← alice call 1 Pay after 5\.5 ms[\s\S]*Where it was sent 5\.5 ms before/);
    await page.locator('#selection button').click();
    assert.equal((await state(page)).chosen, sent);
    await page.keyboard.press('Escape');
    assert.equal((await state(page)).chosen, -1);
    await page.locator('#diagram').click({ position: { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 } });
    assert.deepEqual([(await state(page)).chosen, (await state(page)).other], [sent, arrived]);
    // The table says the same.
    assert.equal(await page.locator('#table .chosen').getAttribute('data-event'), String(sent));
    assert.equal(await page.locator('#table .other').getAttribute('data-event'), String(arrived));
  });
});

test('keys go from event to event, on one node too, and to the failure', async () => {
  await visit('payments', {}, async (page) => {
    const { failure } = await state(page);
    await page.keyboard.press('ArrowLeft');
    const before = (await state(page)).chosen;
    assert.ok(before < failure);
    await page.keyboard.press('ArrowRight');
    assert.equal((await state(page)).chosen, failure);
    await page.keyboard.press('p');
    assert.match(await words(page, (await state(page)).chosen), /payment 1: 100 cents debited/);
    for (const _ of [1, 2, 3, 4]) await page.keyboard.press('p');
    await page.keyboard.press('p');
    assert.match(await page.locator('#selection strong').first().innerText(), /bank/, 'another node');
    await page.keyboard.press('n');
    await page.keyboard.press('f');
    assert.equal((await state(page)).chosen, failure);
    // Up and down belong to the page, but for the diagram and the table.
    await page.keyboard.press('ArrowUp');
    assert.equal((await state(page)).chosen, failure);
    await page.locator('#diagram').focus();
    await page.keyboard.press('ArrowUp');
    assert.equal((await state(page)).chosen, before);
    assert.notEqual(await page.locator('#diagram').evaluate((canvas) => getComputedStyle(canvas).outlineStyle), 'none', 'the focus shows');
    await page.keyboard.press('/');
    await page.keyboard.type('f');
    assert.equal((await state(page)).search, 'f', 'what is typed is no command');
  });
});

test('wheel and dragging move the view, and the failure brings it back', async () => {
  await visit('kv', {}, async (page) => {
    const whole = (await state(page)).view;
    await page.locator('#diagram').scrollIntoViewIfNeeded();
    const box = await page.locator('#diagram').boundingBox();
    await page.mouse.move(box.x + 300, box.y + 200);
    await page.mouse.wheel(0, -100);
    await page.waitForTimeout(50);
    const near = (await state(page)).view;
    assert.ok(near[1] - near[0] < whole[1] - whole[0]);
    await page.mouse.down();
    await page.mouse.move(box.x + 300, box.y + 300, { steps: 4 });
    await page.mouse.up();
    const moved = (await state(page)).view;
    assert.ok(moved[0] < near[0] && Math.abs(moved[1] - moved[0] - (near[1] - near[0])) < 1e-6);
    await page.keyboard.press('0');
    assert.ok((await state(page)).view[0] < 0);
    await page.keyboard.press('f');
    assert.deepEqual((await state(page)).view, whole);
  });
});

test('two fingers zoom', async () => {
  await visit('kv', {}, async (page) => {
    const whole = (await state(page)).view;
    await page.locator('#diagram').scrollIntoViewIfNeeded();
    const box = await page.locator('#diagram').boundingBox();
    const client = await page.context().newCDPSession(page);
    const touch = async (type, ...heights) => {
      const touchPoints = heights.map((height, id) => ({ id, x: box.x + 200, y: box.y + height }));
      await client.send('Input.dispatchTouchEvent', { type, touchPoints });
    };
    await touch('touchStart', 190);
    await touch('touchStart', 190, 210);
    await touch('touchMove', 170, 230);
    await touch('touchMove', 140, 260);
    await touch('touchEnd');
    await page.waitForTimeout(50);
    const near = (await state(page)).view;
    assert.ok(near[1] - near[0] < (whole[1] - whole[0]) / 3, `from ${whole} to ${near}`);
    assert.equal((await state(page)).chosen, (await state(page)).failure, 'no click came of it');
    // One finger moves it.
    await touch('touchStart', 150);
    await touch('touchMove', 200);
    await touch('touchEnd');
    const moved = (await state(page)).view;
    assert.ok(moved[0] < near[0] && Math.abs(moved[1] - moved[0] - (near[1] - near[0])) < 1e-6, `from ${near} to ${moved}`);
  });
});

test('search, nodes and kinds leave rows out, and say how many', async () => {
  await visit('payments', {}, async (page) => {
    await page.locator('#search').fill('TIMED out');
    assert.equal((await state(page)).listed, 1);
    assert.match(await page.locator('#count').innerText(), /^1 of 30 events and log lines$/);
    await page.locator('#search').fill('nothing says this');
    assert.equal((await state(page)).listed, 0);
    await page.locator('#search').fill('');
    await page.locator('#node').selectOption({ label: 'alice' });
    const names = await page.locator('#table .body .who').allInnerTexts();
    assert.ok(names.length > 2 && names.every((name) => name === 'alice'));
    await page.locator('#node').selectOption({ label: 'all' });
    await page.getByLabel('tasks').check();
    assert.equal((await state(page)).listed, 30);
  });
});

test('the causal past is what came before on the node and what was sent to it', async () => {
  await visit('payments', {}, async (page) => {
    const second = await find(page, '← alice call 2 Pay');
    const late = await find(page, '→ alice:\\d+ answer 2 Pay');
    await page.locator('#past').check();
    const rows = await page.locator('#table .body .row').evaluateAll((all) => all.map((row) => Number(row.dataset.event)));
    const { failure } = await state(page);
    assert.ok(rows.includes(second) && rows.includes(failure) && !rows.includes(late));
    assert.ok(rows.every((event) => event <= failure));
    // Of the first arrival, neither the second call nor what alice did in between.
    const first = await find(page, '← alice call 1 Pay');
    await page.evaluate((event) => { location.hash = `#event=${event}&past=1`; }, first);
    await page.waitForFunction((event) => window.squallPage.state().chosen === event, first);
    const of = await page.locator('#table .body .what').allInnerTexts();
    assert.deepEqual(of, ['starts', 'starts', '→ bank:80 call 1 Pay (2 bytes)', '← alice call 1 Pay after 5.5 ms', '✗ fails here: publishes debited: 1'].slice(0, of.length));
    assert.equal(of.length, 4);
  });
});

test('the fragment keeps view and selection, and nonsense in it does no harm', async () => {
  let kept;
  let wanted;
  await visit('kv', {}, async (page) => {
    await page.locator('#search').fill('get 1');
    await page.locator('#to-scale').check();
    await page.locator('#to-failure').click();
    await page.locator('#zoom-in').click();
    await page.waitForTimeout(300);
    kept = await page.evaluate(() => location.hash);
    wanted = await state(page);
  });
  await visit('kv', { fragment: kept }, async (page) => {
    const now = await state(page);
    for (const key of ['chosen', 'search', 'toScale', 'listed']) assert.deepEqual(now[key], wanted[key], key);
    now.view.forEach((end, index) => assert.ok(Math.abs(end - wanted.view[index]) < 1, `${now.view} ${wanted.view}`));
  });
  for (const fragment of ['#event=1e9&view=x_y&kinds=2&node=-9', '#view=5_1', '#event=<script>', '#%', '#view=-1e300_1e300&event=-1']) {
    await visit('kv', { fragment }, async (page) => {
      const { chosen, view, listed, failure } = await state(page);
      assert.ok(view[0] < view[1] && listed > 0 && (chosen === failure || chosen === -1), fragment);
    });
  }
});

test('the likelihood shows from when on the failure is inevitable, and its moments select events', async () => {
  const likelihood = (page) => page.evaluate(() => window.squallPage.likelihood());
  await visit('report', {}, async (page) => {
    const { moments, inevitable } = await likelihood(page);
    assert.ok(moments.length > 10 && moments.every((moment) => moment.runs === 200));
    assert.match(await page.locator('#likelihood-words').innerText(), /^From 10\.5 ms on, behind decision 1 \(the answer to call 1 \(Pay\) .* is lost\), every one of 200 redraws failed: at least 98\.5 % would \(95 % confidence\)\.$/);
    assert.match(await page.locator('#likelihood-how').innerText(), /drawn again, 200 times\.$/);
    assert.match(await page.locator('#inevitable').innerText(), /^Inevitable from 10\.5 ms on/);
    // A click on the curve: behind the decision there is the loss, before it what came before.
    const click = async (index) => {
      const position = await page.evaluate((index) => window.squallPage.moment(index), index);
      await page.locator('#likelihood').click({ position });
      return words(page, (await state(page)).chosen);
    };
    assert.match(await click(inevitable), /answer 1 Pay: lost by the link/);
    assert.match(await click(0), /starts$/);
    assert.match(await click(moments.length - 1), /100 cents debited|debited: 1|WARN|call 2/);
    // The line goes up by the step, and the band holds it.
    const [before, since] = [await page.evaluate((index) => window.squallPage.moment(index), inevitable - 1), await page.evaluate((index) => window.squallPage.moment(index), inevitable)];
    assert.ok(since.y < before.y - 100 && since.x > before.x);
    assert.ok(moments.every((moment) => moment.at_least <= moment.share && moment.share <= moment.at_most));
    // The same as text, and by keyboard.
    await page.locator('#likelihood-details summary').click();
    assert.equal(await page.locator('#likelihood-table tbody tr').count(), moments.length);
    const row = page.locator('#likelihood-table tr.inevitable');
    assert.match((await row.innerText()).replaceAll(/\s+/g, ' '), /^0\.010500000 s 100 % 98\.5 to 100 % 200 200 1\. the answer .* — inevitable from here on$/);
    await row.locator('button').focus();
    await page.keyboard.press('Enter');
    assert.match(await words(page, (await state(page)).chosen), /answer 1 Pay: lost by the link/);
  });
  // Fewer in what an exploration writes.
  await visit('kv', { width: 320 }, async (page) => {
    const { moments } = await likelihood(page);
    assert.ok(moments.every((moment) => moment.runs === moments[0].runs && moment.runs > 1 && moment.runs <= 50));
    assert.match(await page.locator('#likelihood-words').innerText(), /^From \S+ ms on, .* every one of \d+ redraws failed: at least \S+ % would/);
  });
});

test('where nothing is drawn again a sentence says why', async () => {
  for (const [name, why] of [['large', /this run doesn't fail/], ['faults', /isn't saved/], ['undrawn', /--likelihood says 0/]]) {
    await visit(name, {}, async (page) => {
      assert.match(await page.locator('#likelihood-words').innerText(), why);
      for (const hidden of ['#likelihood', '#likelihood-details', '#likelihood-how']) assert.equal(await page.locator(hidden).isVisible(), false, hidden);
      assert.equal(await page.locator('#inevitable').count(), 0);
    });
  }
});

test('the history shows where no order goes on, and the nearest run parts from this one', async () => {
  await visit('kv', {}, async (page) => {
    assert.equal(await page.locator('#history tr.stuck').count(), 1);
    assert.match(await page.locator('#history tr.stuck').innerText(), /no order goes on here/);
    assert.match(await page.locator('#counterexample').innerText(), /after the longest order/);
    assert.deepEqual((await page.locator('#history tbody tr td:first-child').allInnerTexts()).filter((mark) => mark !== '').at(-1), '✗');
  });
  await visit('payments', {}, async (page) => {
    assert.match(await page.locator('#passing-words').innerText(), /Without 1\..*the run passes/);
    assert.match(await page.locator('.side.failing .parts').innerText(), /answer 1 Pay: lost by the link/);
    assert.match(await page.locator('.side.passing .parts').innerText(), /← bank answer 1 Pay/);
  });
});

test('on a narrow screen words stay whole: the table of the history scrolls by itself', async () => {
  await visit('kv', { width: 320 }, async (page) => {
    const heights = await page.locator('#history th').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().height));
    assert.ok(heights.length === 7 && heights.every((height) => height < 30), `${heights}`);
    const [inner, outer] = await page.locator('#history').evaluate((one) => [one.scrollWidth, one.closest('.scroll').clientWidth]);
    assert.ok(inner > outer, `${inner} in ${outer}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});

test('the transactions of a cycle are marked, in its order, and no others', async () => {
  await visit('skewed', {}, async (page) => {
    const marks = await page.locator('#history tbody tr td:first-child').allInnerTexts();
    assert.deepEqual(marks.toSorted(), ['', '1', '2']);
    assert.equal(await page.locator('#history tr.together').count(), 2);
    assert.equal(await page.locator('#history tr.stuck').count(), 0);
    assert.match(await page.locator('#history-words').innerText(), /the numbered ones don’t go together/);
    const said = await page.locator('#counterexample').innerText();
    assert.match(said, /^G2:[\s\S]*T1: [\s\S]*T2: /);
    // T1 of the text is the row with that number.
    const first = await page.locator('#history tr', { has: page.locator('td:first-child', { hasText: '1' }) }).first().innerText();
    const process = /T1: process \d+ \((\S+)\)/.exec(said)[1];
    assert.ok(first.includes(process), `${first}: ${said}`);
  });
});

test('faults are told and shaded, and what was not checked is said', async () => {
  await visit('faults', {}, async (page) => {
    const faults = await page.locator('#faults').innerText();
    for (const said of [/store-0 \| store-1: partition for 30 ms/, /client-0: stands still for 15 ms/, /store-2: is down for 20 ms/]) assert.match(faults, said);
    const legend = await page.locator('#legend').textContent();
    for (const said of [/hatched.*partition/, /striped across: stands still/, /cross-hatched: is down/]) assert.match(legend, said);
  });
  await visit('payments', {}, async (page) => assert.match(await page.locator('#unchecked').innerText(), /ended with the failure/));
});

test('what a program says neither runs nor misleads', async () => {
  await visit('hostile', {}, async (page) => {
    await page.waitForTimeout(200);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator('img, b, i, iframe, script[src]').count(), 0);
    assert.equal(await page.locator('script').count(), 2);
    await page.keyboard.press('0');
    const said = await page.locator('body').innerText();
    assert.ok(said.includes('</script><script>window.hacked = 1</script>'), 'it is shown as it is');
    for (const shown of ['\\u{1b}[2J', '\\u{202e}detrevni\\u{2066}', '\\u{200b}', '{{data}}', '(5 bytes)']) assert.ok(said.includes(shown), shown);
    assert.doesNotMatch(said, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    assert.match(said, /1 long text is cut/);
    assert.match(await words(page, await find(page, 'long long')), /… \(cut here: it has 104857\d\d bytes\)$/);
  });
  assert.ok(statSync(join(directory, 'hostile.html')).size < 300_000);
});

test('nothing else may run: the policy holds', async () => {
  const page = await browser.newPage();
  await page.goto(address('payments'));
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.hacked = 3';
    document.body.append(script);
    const image = document.createElement('img');
    image.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw=';
    document.body.append(image);
  });
  const refused = await page.evaluate(() => fetch('data:text/plain,x').then(() => 'fetched', () => 'refused'));
  assert.equal(refused, 'refused');
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.evaluate(() => document.querySelector('img').naturalWidth), 0);
  await page.close();
});

test('dark is dark, and drawn anew', async () => {
  const corner = (page) => page.evaluate(() => {
    const canvas = document.getElementById('diagram');
    const ink = new OffscreenCanvas(1, 1).getContext('2d');
    ink.drawImage(canvas, 6 - canvas.width, 6 - canvas.height);
    return [...ink.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((sum, part) => sum + part);
  });
  await visit('payments', { scheme: 'dark' }, async (page) => {
    assert.ok(await corner(page) < 150);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.waitForTimeout(100);
    assert.ok(await corner(page) > 600);
  });
});

test('in print the table is whole, and the ink dark', async () => {
  await visit('kv', { scheme: 'dark' }, async (page) => {
    const { listed } = await state(page);
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    await page.waitForTimeout(100);
    assert.equal(await page.locator('#table .body .row').count(), listed);
    assert.equal(await page.locator('#bar').isVisible(), false);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), 'rgb(0, 0, 0)');
    assert.ok((await page.pdf()).length > 20_000);
  });
});

test('the picture of the example is of the example', async () => {
  const picture = readFileSync(PICTURE);
  assert.ok(picture.length < 250_000, `${picture.length} bytes`);
  const page = await browser.newPage();
  const taken = await take(page);
  const distance = await apart(page, picture, taken);
  assert.ok(distance < 0.02, `${distance} of it is another: reports/examples/regenerate`);
  // What is to be told apart is: the page a little further down, and in the dark.
  await page.locator('#causes').evaluate((one) => one.remove());
  await page.evaluate(() => dispatchEvent(new Event('resize')));
  const other = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width: picture.readUInt32BE(16), height: picture.readUInt32BE(20) } });
  assert.ok(await apart(page, picture, other) > 0.05);
  await page.close();
});

test('without scripts it says so', async () => {
  const context = await browser.browser()?.newContext({ javaScriptEnabled: false });
  if (!context) {
    // A persistent context has no browser to ask: the text is in the file.
    assert.match(readFileSync(join(directory, 'payments.html'), 'utf8'), /<noscript><p>This page needs JavaScript/);
    return;
  }
  const page = await context.newPage();
  await page.goto(address('payments'));
  assert.match(await page.locator('body').innerText(), /needs JavaScript/);
  await context.close();
});

// How long it takes is measured by ./measure.mjs: a test on a busy machine would tell of the machine.
test('a hundred thousand events: a small file, in which one can move', async () => {
  const { size } = statSync(join(directory, 'large.html'));
  assert.ok(size <= 2_000_000, `${size} bytes`);
  await visit('large', {}, async (page) => {
    const { count } = await state(page);
    assert.ok(count >= 100_000);
    await page.locator('#diagram').focus();
    await page.keyboard.press('0');
    const whole = (await state(page)).view;
    assert.ok(whole[1] > 50_000, 'all rows are in view');
    for (let i = 0; i < 20; i++) await page.keyboard.press('+');
    await page.waitForTimeout(50);
    const near = (await state(page)).view;
    assert.ok(near[1] - near[0] < 1_000, `${near}`);
  });
});

test('a million events: it opens, and says what it left out', async () => {
  await visit('huge', {}, async (page) => {
    assert.ok((await state(page)).count >= 100_000);
    const said = await page.locator('#left-out').innerText();
    assert.match(said, /Of the run's 1\d{6} events, \d+ about tasks .* are left out .*\d+ earlier events are left out/);
    assert.ok((await page.locator('#unchecked').innerText()).includes(said.split('. ')[0]));
  });
});

test('the page of a campaign says what came of it, and leads to the page of each failure', async () => {
  await visit('campaign/index', {}, async (page) => {
    assert.match(await page.title(), /^paid-once fails in \d+ of 200 runs, as it is to, and nothing else does · payments · campaign$/);
    assert.match(await page.locator('h1').innerText(), /^AS EXPECTED\s+paid-once fails in/);
    const [runs, passed, failed, unknown] = (await page.locator('#counts dd').allInnerTexts()).map(Number);
    assert.ok(runs === 200 && failed > 0 && runs === passed + failed + unknown);
    assert.match(await page.locator('#clock').innerText(), /no part of the results.*seeds a second.*jobs?$/);
    assert.deepEqual(await page.locator('#failures .causes .grow').allInnerTexts(), ['the answer to call 1 (Pay) from bank to alice is lost']);
    assert.match(await page.locator('#kept').innerText(), /✗ still fails, the same run/);
    assert.match(await page.locator('#goals').innerText(), /✓ reached\s+a payment is asked for again/);
    assert.match(await page.locator('#saturation').innerText(), /200 runs[\s\S]*run 2\s+fails: paid-once/);
    assert.match(await page.locator('#latency').innerText(), /calls of clients[\s\S]*never answered/);
    assert.match(await page.locator('#determinism').innerText(), /Seed 0x0, the first, repeats itself[\s\S]*a second time/);
    assert.match(await page.locator('#unchecked').innerText(), /not shrunk/);
    assert.equal(await page.locator('button.copy:visible').count(), await page.locator('button.copy').count());
  });
  // In a page of its own: another file is asked for.
  const page = await browser.newPage();
  await page.goto(address('campaign/index'));
  await page.locator('#failures a').click();
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
  assert.match(await page.locator('h1').innerText(), /FAIL\s+paid-once fails: payment 1 was debited twice/);
  await page.close();
});

test('a campaign in which nothing fails says so, with its latencies', async () => {
  await visit('passing/index', {}, async (page) => {
    assert.match(await page.locator('h1').innerText(), /^PASS\s+Every property held in all of 200 runs$/);
    assert.equal(await page.locator('#failures a, .group').count(), 0);
    const times = await page.locator('#latency dd').allInnerTexts();
    assert.ok(times.slice(0, 4).every((time) => /^[\d.]+ ms$/.test(time)) && times[4] === '0', times.join());
    const said = await page.locator('#latency svg').getAttribute('aria-label');
    assert.ok(said.includes(`p50 ${times[0]}, p99 ${times[1]}, p99.9 ${times[2]}, max ${times[3]}`), said);
  });
});

test('a sweep of one key has a chart, and the threshold with its bounds', async () => {
  await visit('sweep-find', {}, async (page) => {
    assert.match(await page.locator('#thresholds').innerText(), /fails at 4\d\.\d+ms .*at least .*95 % confidence.*in none of 40 \(fewer than/);
    assert.equal(await page.locator('#chart svg .threshold').count(), 1);
    assert.match(await page.locator('#chart svg').innerHTML(), /failures begin: 4\d\.?\d*ms → 4\d\.?\d*ms/);
    const cells = await page.locator('#verdict td').allInnerTexts();
    const first = cells.findIndex((cell) => cell.startsWith('✗'));
    assert.ok(first > 0 && cells.slice(0, first).every((cell) => cell === '✓ 0 %'), cells.join());
    assert.match(await page.locator('#verdict td').nth(first).getAttribute('class'), /left-(first|both)/);
  });
});

test('a map of two keys: shares and times in its cells, lines between them, all of it as a table', async () => {
  await visit('sweep', {}, async (page) => {
    assert.deepEqual(await page.locator('#verdict thead th').allInnerTexts(), ['network.latency ↓ network.loss →', '0%', '5%', '30%']);
    const rows = await page.locator('#verdict tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText)));
    assert.deepEqual(rows.map((row) => row[0]), ['1ms', '3.915ms', '15.33ms', '60ms']);
    assert.deepEqual(rows[0].slice(1, 2), ['✓ 0 %']);
    assert.deepEqual(rows[3].slice(1), ['✗ 100 %', '✗ 100 %', '✗ 100 %']);
    const lines = await page.locator('#verdict td[class*=left-], #verdict td[class*=top-]').count();
    assert.ok(lines >= 5);
    assert.equal(await page.locator('#latency td.never').first().innerText(), 'never');
    assert.equal(await page.locator('#table tbody tr').count(), 12);
    assert.deepEqual((await page.locator('#table th').allInnerTexts()).slice(-5), ['answered/s', 'p50', 'p99', 'p99.9', 'max']);
  });
  await visit('sweep-maps', {}, async (page) => {
    assert.equal(await page.locator('#verdict .map').count(), 4);
    assert.deepEqual(await page.locator('#latency figcaption').allInnerTexts(), ['1ms', '3.915ms', '15.33ms', '60ms'].map((value) => `network.latency=${value}`));
  });
});

test('a cell is told where it is pointed at, and reached by the keyboard', async () => {
  await visit('sweep', {}, async (page) => {
    const map = page.locator('#verdict .measure').first(), told = map.locator('.told');
    await map.locator('td').nth(4).hover();
    assert.match(await told.innerText(), /^network\.latency=3\.915ms network\.loss=5%: of 40 runs .*p50 .*p99 .*p99\.9 .*max .*never;.*a virtual second$/);
    // One stop of the tab key for the whole map; then the arrows.
    assert.equal(await map.locator('td[tabindex="0"]').count(), 1);
    await map.locator('td').first().focus();
    for (const [key, place] of [['ArrowRight', 1], ['ArrowDown', 4], ['ArrowLeft', 3], ['End', 5], ['ArrowRight', 5], ['ArrowUp', 2], ['Home', 0], ['ArrowUp', 0]]) {
      await page.keyboard.press(key);
      const now = await map.locator('td').evaluateAll((all) => all.indexOf(document.activeElement));
      assert.equal(now, place, key);
    }
    assert.match(await told.innerText(), /^network\.latency=1ms network\.loss=0%/);
    assert.notEqual(await map.locator('td').first().evaluate((cell) => getComputedStyle(cell).outlineStyle), 'none', 'the focus shows');
  });
});

test('what is named in a campaign or a sweep neither runs nor misleads', async () => {
  for (const [name, wanted] of [['hostile/index', '<i>hostile</i>'], ['sweep-hostile', '</script><script>window.hacked=7</script>']]) {
    await visit(name, {}, async (page) => {
      await page.waitForTimeout(100);
      assert.equal(await page.evaluate(() => window.hacked), undefined);
      assert.equal(await page.locator('img, b, i, iframe, script[src]').count(), 0);
      assert.equal(await page.locator('script').count(), 1);
      const said = await page.locator('body').innerText();
      assert.ok(said.includes(wanted), `${name} shows ${wanted}`);
      assert.doesNotMatch(said, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      for (const cell of await page.locator('.map td').all()) await cell.hover();
      assert.equal(await page.evaluate(() => window.hacked), undefined);
    });
  }
});

test('in print messages are whole, and what is wider than a sheet is left out', async () => {
  for (const name of ['lock', 'kv', 'campaign/index', 'sweep-wide']) {
    await visit(name, { width: 700 }, async (page) => {
      await page.emulateMedia({ media: 'print' });
      const cut = await page.locator('#message, .group pre').evaluateAll((all) => all.filter((one) => one.scrollHeight > one.clientHeight).length);
      assert.equal(cut, 0, `${name}: a message is cut off`);
    });
  }
  await visit('sweep-wide', { width: 700 }, async (page) => {
    assert.equal(await page.locator('.on-paper:visible').count(), 0);
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('.on-paper:visible').count(), 2);
    assert.equal(await page.locator('.map:visible').count(), 0);
  });
});

test('pages of many runs are whole without scripts, dark where that is wished, and in print', async () => {
  for (const name of ['campaign/index', 'sweep']) {
    const shades = [];
    for (const scheme of ['light', 'dark']) {
      await visit(name, { scheme }, async (page) => {
        shades.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        await page.emulateMedia({ media: 'print', colorScheme: scheme });
        assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), 'rgb(0, 0, 0)');
        assert.equal(await page.locator('button.copy:visible').count(), 0);
        const cut = await page.locator('.scroll').evaluateAll((all) => all.filter((one) => one.scrollHeight > one.clientHeight + 1 && getComputedStyle(one).overflowY !== 'visible').length);
        assert.equal(cut, 0, 'something is cut off in print');
      });
    }
    assert.notEqual(shades[0], shades[1]);
    const file = readFileSync(join(directory, `${name}.html`), 'utf8');
    assert.match(file, /<h1>.*(paid-once|A property) fails/, 'what is said stands in the file');
  }
});
