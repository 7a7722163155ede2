// Runs the examples in a real browser against the real server, and prints a line for every promise that is kept.
//
//   PARTWAY_BIN       the server's binary
//   PARTWAY_CHROMIUM  the browser (default: /usr/bin/chromium)
//   arguments         run only promises whose names contain one of them

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { PlainExample, UppyExample } from './lib/examples.mjs';
import { Partway } from './lib/partway.mjs';
import { Proxy } from './lib/proxy.mjs';
import { serveFolder } from './lib/static_server.mjs';
import { promises, promisesOfPlain, promisesOfUppy } from './promises.mjs';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const PART_BYTES = 10 * 1024 * 1024;
const EXAMPLES = [
  [PlainExample, { ...promises, ...promisesOfPlain }],
  [UppyExample, { ...promises, ...promisesOfUppy }],
];
// Nothing but the pages under test may use the network.
const BROWSER_FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const binary = process.env.PARTWAY_BIN;
if (!binary) throw new Error('PARTWAY_BIN must name the binary of the server');
const executablePath = process.env.PARTWAY_CHROMIUM ?? '/usr/bin/chromium';
const wanted = process.argv.slice(2);
const began = performance.now();
const cleanups = [];
let failed = 0;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => cleanUp().finally(() => process.exit(1)));
try {
  await run();
} finally {
  await cleanUp();
}
const seconds = secondsSince(began);
console.log(failed === 0 ? `all kept, in ${seconds} s` : `${failed} not kept, in ${seconds} s`);
process.exitCode = failed === 0 ? 0 : 1;

async function run() {
  const folder = await mkdtemp(path.join(tmpdir(), 'partway-browser-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  const proxy = await Proxy.listen();
  cleanups.push(() => proxy.close());
  const startPartway = async (settings) => {
    const partway = await Partway.start(binary, await mkdtemp(path.join(folder, 'data-')), proxy.url, settings);
    cleanups.push(() => partway.stop());
    return partway;
  };
  const partway = await startPartway();
  proxy.upstreamPort = new URL(partway.url).port;
  const file = await makeFile(folder, 'file of 100 MB.bin', 100_000_000);
  const smallFile = await makeFile(folder, 'file of 50 MB.bin', 50_000_000);
  const mediumFile = await makeFile(folder, 'file of 21 MB.bin', 21_000_000);
  const tinyFile = await makeFile(folder, '1 MB & <more> of 100 % "naïve" &amp; #1?.bin', 1_000_000);
  const emptyFile = await makeFile(folder, '.gitkeep', 0);
  const twin = await makeTwin(folder, smallFile);
  const ownSignals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  const launch = { executablePath, args: BROWSER_FLAGS, headless: true, chromiumSandbox: false, ...ownSignals };
  const browser = await chromium.launch(launch);
  cleanups.push(() => browser.close());

  for (const [Example, promised] of EXAMPLES) {
    const site = await serveFolder(path.join(REPOSITORY, Example.folder));
    cleanups.push(site.stop);
    for (const [name, keep] of Object.entries(promised)) {
      if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
      const opened = [];
      const open = async (settings) => {
        const query = new URLSearchParams({ server: proxy.url, key: partway.publicKey, ...settings });
        const example = new Example();
        opened.push(example);
        return example.open(browser, `${site.url}/?${query}`);
      };
      await report(`${Example.title}: ${name}`, async () => {
        try {
          await keep({ open, proxy, partway, startPartway, file, smallFile, mediumFile, twin, tinyFile, emptyFile });
        } finally {
          for (const example of opened) await example.close();
          await proxy.reset();
        }
      });
    }
  }
}

/** Ends what was started, the last first. */
async function cleanUp() {
  while (cleanups.length > 0) await cleanups.pop()().catch((error) => console.error(error));
}

function secondsSince(began) {
  return ((performance.now() - began) / 1000).toFixed(1);
}

async function report(name, keep) {
  const began = performance.now();
  try {
    await keep();
    console.log(`ok    ${name} (${secondsSince(began)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

/** Another file of the same name, size and time. */
async function makeTwin(folder, { path: first }) {
  const elsewhere = path.join(folder, 'elsewhere');
  await mkdir(elsewhere);
  const { size, atime, mtime } = await stat(first);
  const twin = await makeFile(elsewhere, path.basename(first), size, 'another file');
  // Whole milliseconds, which is what a browser sees.
  const at = new Date(Math.floor(mtime.getTime()));
  for (const file of [first, twin.path]) await utimes(file, atime, at);
  return twin;
}

/** Bytes that do not repeat, the same in every run. */
async function makeFile(folder, name, size, begin = name) {
  const file = { path: path.join(folder, name), parts: Math.ceil(size / PART_BYTES) };
  const out = createWriteStream(file.path);
  const whole = createHash('sha256');
  const block = Buffer.alloc(1_000_000);
  let seed = createHash('sha256').update(begin).digest();
  for (let written = 0; written < size; written += block.length) {
    // Every 4 KiB begins with another hash, so that no two places of the file look the same.
    for (let at = 0; at < block.length; at += 4096) {
      seed = createHash('sha256').update(seed).digest();
      seed.copy(block, at);
    }
    whole.update(block);
    if (!out.write(Buffer.from(block))) await once(out, 'drain');
  }
  await finished(out.end());
  return { ...file, sha256: whole.digest('hex') };
}
