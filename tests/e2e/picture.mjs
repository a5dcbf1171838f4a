// The picture of the example page, and how far another one is from it. Run by itself it writes the picture: see reports/examples/regenerate.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import zlib from 'node:zlib';
import { chromium } from 'playwright-core';

const example = (name) => fileURLToPath(new URL(`../../reports/examples/${name}`, import.meta.url));
export const PAGE = example('stale-read.html');
export const PICTURE = example('stale-read.png');
const WIDTH = 1000, HEIGHT = 1460;

// As a PNG: from the top to the likelihood.
export const take = async (page) => {
  await page.setViewportSize({ width: WIDTH, height: HEIGHT });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(pathToFileURL(PAGE).href);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
  const foot = await page.locator('#likelihood-how').evaluate((one) => one.getBoundingClientRect().bottom + scrollY);
  return page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width: WIDTH, height: Math.ceil(foot) + 12 } });
};

// The same picture in fewer bytes: what is mostly of one colour is smaller without the filters that a browser takes, and nobody sees the lowest bits.
const packed = async (page, picture) => {
  const { width, height, pixels } = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const ink = new OffscreenCanvas(image.width, image.height).getContext('2d');
    ink.drawImage(image, 0, 0);
    return { width: image.width, height: image.height, pixels: [...ink.getImageData(0, 0, image.width, image.height).data] };
  }, picture.toString('base64'));
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0, to = 0; y < height; y++) {
    to++;
    for (let x = 0; x < width; x++) for (const channel of [0, 1, 2]) rows[to++] = 255 - Math.round((255 - pixels[(y * width + x) * 4 + channel]) / 7) * 7;
  }
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]), length = Buffer.alloc(4), sum = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(zlib.crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', zlib.deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
};

// Of the squares of 16 pixels of two pictures, the share whose mean colours are further apart than a hinting of other fonts makes them. 1 where
// their sizes differ.
export const apart = (page, one, other) => page.evaluate(async (pictures) => {
  const pixels = [];
  for (const base64 of pictures) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const ink = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    ink.drawImage(picture, 0, 0);
    pixels.push(ink.getImageData(0, 0, picture.width, picture.height));
  }
  const [{ width, height, data }, second] = pixels, SIDE = 16, NEAR = 8;
  if (width !== second.width || height !== second.height) return 1;
  let squares = 0, differing = 0;
  for (let top = 0; top + SIDE <= height; top += SIDE) {
    for (let left = 0; left + SIDE <= width; left += SIDE) {
      let distance = 0;
      for (const channel of [0, 1, 2]) {
        let sum = 0;
        for (let y = top; y < top + SIDE; y++) {
          for (let x = left; x < left + SIDE; x++) sum += data[(y * width + x) * 4 + channel] - second.data[(y * width + x) * 4 + channel];
        }
        distance = Math.max(distance, Math.abs(sum) / SIDE ** 2);
      }
      squares++;
      if (distance > NEAR) differing++;
    }
  }
  return differing / squares;
}, [one, other].map((picture) => picture.toString('base64')));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage();
  writeFileSync(PICTURE, await packed(page, await take(page)));
  await browser.close();
  console.log(`${PICTURE}: ${readFileSync(PICTURE).length} bytes`);
}
