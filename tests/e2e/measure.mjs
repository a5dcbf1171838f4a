// How long large pages take in a browser: `node tests/e2e/measure.mjs`, after `tests/e2e/run` has made them, on a quiet machine.
// Prints, for a run of 100,000 events and one of 1,000,000: the file's size, the time from the page's script beginning until it is ready
// (least, median and most of nine visits), and how long frames take while one zooms in and out, and moves after each step (median, 99 of 100, most).
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const browser = await chromium.launch({
  executablePath: ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync),
  args: ['--no-sandbox', '--disable-gpu'],
});
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const ascending = (one, other) => one - other;
for (const name of ['large', 'huge']) {
  const file = fileURLToPath(new URL(`./pages/${name}.html`, import.meta.url));
  const ready = [], frames = [];
  let count = 0;
  for (let visit = 0; visit < 9; visit++) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(pathToFileURL(file).href);
    await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
    ready.push(await page.evaluate(() => window.squallPage.ready_ms));
    if (visit < 3) {
      frames.push(...await page.evaluate(async () => {
        const painted = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        const press = async (id) => { document.getElementById(id).click(); await painted(); };
        for (const isToScale of [false, true]) {
          if (document.getElementById('to-scale').checked !== isToScale) await press('to-scale');
          await press('fit');
          for (let i = 0; i < 50; i++) {
            await press(i < 25 ? 'zoom-in' : 'zoom-out');
            document.getElementById('diagram').dispatchEvent(new WheelEvent('wheel', { deltaY: i % 2 ? 100 : -100, shiftKey: true, cancelable: true }));
            await painted();
          }
          await press('fit');
        }
        return window.squallPage.frames();
      }));
    }
    count = await page.evaluate(() => window.squallPage.state().count);
    await page.close();
  }
  ready.sort(ascending);
  frames.sort(ascending);
  const ms = (value) => `${value.toFixed(1)} ms`;
  console.log(`${name}: ${count} events in the page, ${(statSync(file).size / 1e6).toFixed(2)} MB`);
  console.log(`  ready after ${ms(ready[0])} at the least, ${ms(at(ready, 0.5))} in the median, ${ms(ready[ready.length - 1])} at the most`);
  console.log(`  ${frames.length} frames: ${ms(at(frames, 0.5))} in the median, ${ms(at(frames, 0.99))} for 99 of 100, ${ms(frames[frames.length - 1])} at the most`);
}
await browser.close();
