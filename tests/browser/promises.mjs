// Promises of the examples. Each gets `open` (opens the page of the example, with settings for its query),
// `partway` and the `proxy` in front of it, `startPartway` (another one, with settings), and a `file` of 100 MB, a
// `smallFile` of half of that, a `twin` of the latter (another file of the same name, size and time), a `tinyFile` and an
// `emptyFile`, each with `path`, `parts` and `sha256`.

import assert from 'node:assert/strict';
import { appendFile, copyFile } from 'node:fs/promises';

import { partSize } from '../../examples/uppy/partway.js';
import { sha256Of } from './lib/partway.mjs';
import { until } from './lib/until.mjs';

const MB = 1_000_000;
/** When this much has passed, one part has arrived, even if four go at once, and one has not, even of a small file. */
const MIDDLE_BYTES = 45 * MB;
/** Long enough for a busy machine to send a first part in it. */
const TTL_SECONDS = 8;
const PART = /\/parts\//;

export const promises = {
  async 'a file of 100 MB goes on after a refresh with only what is missing, and arrives'({ open, proxy, file }) {
    const example = await open();
    proxy.slow(20 * MB); // Uppy's progress bar moves twice a second
    const session = await inTheMiddle(example, proxy, file);
    const progress = await example.progress();
    const begin = await example.refresh(file.path);
    await afterwards(proxy, session, async () => {
      proxy.slow(Infinity);
      proxy.release();
      await begin();
      await isThere(example, file);
    });
    const rising = progress.filter((value, at) => value < 100 && value > Math.max(0, ...progress.slice(0, at)));
    assert(rising.length >= 3, `the progress bar showed ${progress}`);
  },

  async 'a URL that has expired in the middle is replaced, and nothing is sent twice'({ open, proxy, partway, file }) {
    const example = await open({ ttl: TTL_SECONDS });
    proxy.holdHeads(2);
    await example.begin(file.path);
    await until('a part is sent', () => proxy.puts.length > 0);
    const [{ session }] = proxy.puts;
    // Only the URLs are to expire.
    await partway.call('POST', `/api/v1/multipart/${session}/parts`, { parts: [], ttl_seconds: 3600 });
    await until('two parts are there', () => proxy.acknowledged(session).size === 2);
    const held = () => proxy.underway().filter((put) => put.isHeld);
    await until('the next are held', () => held().length === example.partsAtOnce);
    const refused = held();
    await until('their URLs have expired', () => refused.every((put) => hasExpired(put.url)));
    await afterwards(proxy, session, async () => {
      proxy.release();
      await isThere(example, file);
    });
    assert(refused.every((put) => put.status === 403), `answers: ${refused.map((put) => put.status)}`);
  },

  async 'a network that is cut and comes back costs no part that had arrived'({ open, proxy, file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await afterwards(proxy, session, async () => {
      await proxy.cut();
      await example.reaches('waiting');
      await proxy.restore();
      proxy.release();
      await isThere(example, file);
    });
  },

  async 'a browser that says it is offline, and is not, uploads all the same'({ open, smallFile: file }) {
    const example = await open();
    await example.page.addInitScript(sayOffline);
    await example.page.reload();
    await example.begin(file.path);
    await isThere(example, file);
  },

  async 'going online is noticed'({ open, proxy, smallFile: file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await afterwards(proxy, session, async () => {
      await example.setOffline(true);
      await proxy.cut();
      await example.reaches('offline');
      await proxy.restore();
      proxy.release();
      assert.equal(proxy.connections, 0);
      await example.setOffline(false);
      await isThere(example, file);
    });
  },

  async 'a pause stops sending, and going on sends only what is missing'({ open, proxy, file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await example.pause();
    await example.reaches('paused');
    await until('nothing is underway', () => example.underway.size === 0);
    await afterwards(proxy, session, async () => {
      proxy.release();
      await example.goOn();
      await isThere(example, file);
    });
  },

  async 'an abort frees the session and is remembered by nobody'({ open, proxy, partway, file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await example.abort();
    await until('the session is aborted', async () => (await partway.session(session)).status === 'aborted');
    await until('nothing is underway', () => example.underway.size === 0);
    await until('the page has forgotten it', async () => !(await example.remembers()));
  },

  async 'an upload that ended without the page starts over'({ open, proxy, partway, smallFile: file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await partway.call('DELETE', `/api/v1/multipart/${session}`);
    proxy.release();
    await isThere(example, file);
    assert.notEqual(proxy.puts.at(-1).session, session);
  },

  async 'an upload that ended while the page was closed starts over'({ open, proxy, partway, smallFile: file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    const begin = await example.refresh(file.path);
    await partway.call('DELETE', `/api/v1/multipart/${session}`);
    proxy.release();
    await begin();
    await isThere(example, file);
    assert.notEqual(proxy.puts.at(-1).session, session);
  },

  async 'a file that was complete before the page heard of it is not sent again'({ open, proxy, smallFile: file }) {
    const example = await open();
    const answer = proxy.holdNextAnswer('POST', /\/complete$/);
    await example.begin(file.path);
    await until('it is complete', answer.isHeld);
    const [{ session }] = proxy.puts;
    const begin = await example.refresh(file.path);
    answer();
    await afterwards(proxy, session, async () => {
      await begin();
      await isThere(example, file);
    });
  },

  async 'another file of the same name, size and time is never mixed with what was sent of the first'(
    { open, proxy, smallFile, twin },
  ) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, smallFile);
    assert(proxy.acknowledged(session).size > 0, 'no part had arrived');
    const begin = await example.refresh(twin.path);
    proxy.release();
    await begin();
    await isThere(example, twin);
  },

  async 'another file of the same name, size and time is not taken for one that was complete'(
    { open, proxy, smallFile, twin },
  ) {
    const example = await open();
    const answer = proxy.holdNextAnswer('POST', /\/complete$/);
    await example.begin(smallFile.path);
    await until('it is complete', answer.isHeld);
    const begin = await example.refresh(twin.path);
    answer();
    await begin();
    await isThere(example, twin);
  },

  async 'an empty file goes up, too'({ open, proxy, emptyFile: file }) {
    const example = await open();
    await example.begin(file.path);
    await isThere(example, file);
    assert.equal(proxy.puts.length, 0);
  },

  async 'a page that may not remember anything uploads all the same'({ open, proxy, smallFile: file }) {
    const example = await open();
    await example.page.addInitScript(denyStorage);
    await example.page.reload();
    const session = await inTheMiddle(example, proxy, file);
    await example.pause();
    await example.reaches('paused');
    await until('nothing is underway', () => example.underway.size === 0);
    await afterwards(proxy, session, async () => {
      proxy.release();
      await example.goOn();
      await isThere(example, file);
    });
  },

  async 'lost answers to start and complete leave one session and one file'({ open, proxy, partway, smallFile: file }) {
    const example = await open();
    const before = (await partway.sessions()).length;
    proxy.loseNextAnswer('POST', /\/start$/);
    proxy.loseNextAnswer('POST', /\/complete$/);
    await example.begin(file.path);
    await isThere(example, file);
    const sessions = await partway.sessions();
    assert.equal(sessions.length, before + 1);
    assert.equal(sessions[0].status, 'completed');
  },

  async 'a busy server, and a store that refuses in its own words, are asked again'({ open, proxy, smallFile: file }) {
    const example = await open();
    proxy.answerNext('PUT', PART, { status: 503, body: 'busy' });
    proxy.answerNext('PUT', PART, {
      status: 403,
      headers: { 'Content-Type': 'application/xml' },
      body: '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
    });
    await example.begin(file.path);
    await isThere(example, file);
  },

  async 'a small file, with any characters in its name, goes the same way'({ open, proxy, tinyFile: file }) {
    const example = await open();
    await example.begin(file.path);
    await isThere(example, file);
    assert.equal(proxy.puts.length, 1);
  },

  async 'a file that is changed in the middle is not sent on'({ open, proxy, partway, file }) {
    const example = await open();
    const copy = { ...file, path: `${file.path}.changed` };
    await copyFile(file.path, copy.path);
    const session = await inTheMiddle(example, proxy, copy);
    await appendFile(copy.path, 'more');
    proxy.release();
    await example.reaches('failed');
    assert.match(await example.statusText(), /file/);
    assert.equal((await partway.session(session)).status, 'uploading');
  },
};

/** Promises of the one without Uppy only: the plugin knows neither `Retry-After` nor an end of waiting. */
export const promisesOfPlain = {
  async 'parts that a proxy refuses for their size are sent smaller, and the page says so'(
    { open, proxy, partway, smallFile: file },
  ) {
    const example = await open();
    proxy.limitBodies(1024 * 1024);
    await example.begin(file.path);
    await isThere(example, file);
    assert.match(await example.page.locator('#note').textContent(), /proxy.*413/);
    const { part_size: size } = (await partway.sessions()).find(({ status }) => status === 'completed');
    assert.equal(size, 1024 * 1024);
  },

  async 'a proxy that refuses even the smallest parts is named'({ open, proxy, smallFile: file }) {
    const example = await open();
    proxy.limitBodies(512 * 1024);
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /proxy.*413/);
  },

  async 'Retry-After is kept to'({ open, proxy, smallFile: file }) {
    const example = await open();
    const headers = { 'Retry-After': '1', 'Access-Control-Expose-Headers': 'Retry-After' };
    proxy.answerNext('PUT', PART, { status: 429, headers, body: '' });
    await example.begin(file.path);
    await isThere(example, file);
    const [first] = proxy.puts;
    const second = proxy.puts.find((put) => put.index === first.index && put !== first);
    assert(second.at - first.at >= 1000, `it came after ${second.at - first.at} ms`);
  },

  async 'a connection on which nothing moves any more is given up'({ open, proxy, smallFile: file }) {
    const example = await open();
    await example.page.clock.install();
    const session = await inTheMiddle(example, proxy, file);
    const stalled = [...example.underway];
    await afterwards(proxy, session, async () => {
      await example.page.clock.fastForward('03:01');
      await until('they are given up', () => stalled.every((put) => !example.underway.has(put)));
      assert(stalled.some((put) => put.failure()));
      proxy.release();
      await isThere(example, file);
    });
  },

  async 'Partway refuses a part before its body has come, and the page can read why'({ open, partway }) {
    const example = await open();
    const start = { file_name: 'late.bin', size: 10 * 1024 * 1024, format: 'application/octet-stream', ttl_seconds: 1 };
    const { session_id: session, parts: [url] } = await partway.call('POST', '/api/v1/multipart/start', start);
    await partway.call('POST', `/api/v1/multipart/${session}/parts`, { ttl_seconds: 3600 });
    await until('the URL has expired', () => hasExpired(url));
    const direct = partway.url + new URL(url).pathname + new URL(url).search;
    for (let again = 0; again < 10; again++) {
      const answer = await example.page.evaluate(async ([url, size]) => {
        const response = await fetch(url, { method: 'PUT', body: new Blob([new Uint8Array(size)]) });
        return { status: response.status, ...(await response.json()) };
      }, [direct, start.size]);
      assert.equal(answer.errorCode, 'URL_EXPIRED');
    }
  },
};

/** Promises that only Uppy needs. */
export const promisesOfUppy = {
  async 'a proxy that refuses parts for their size is named'({ open, proxy, smallFile: file }) {
    const example = await open();
    proxy.limitBodies(1024 * 1024);
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /proxy.*413/);
  },

  async 'an upload that is cancelled after a refresh frees its session'({ open, proxy, partway, smallFile: file }) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await example.refresh(file.path);
    await example.page.locator('.uppy-DashboardContent-back').click();
    await until('the session is aborted', async () => (await partway.session(session)).status === 'aborted');
  },

  async 'parts are as large as Partway dictates, up to the largest file'({ startPartway }) {
    // Nothing is sent; the sparse files of these sessions take no room.
    const partway = await startPartway({ PARTWAY_STORAGE_RESERVE: 'false' });
    const mostOfSmallest = 10_000 * 10 * 1024 * 1024;
    for (const size of [1, mostOfSmallest, mostOfSmallest + 1, 3 * mostOfSmallest, 5 * 1024 ** 4]) {
      const start = { file_name: 'large.bin', size, format: 'application/octet-stream' };
      const { part_size: dictated } = await partway.call('POST', '/api/v1/multipart/start', start);
      assert.equal(partSize({ size }), dictated, `of a file of ${size} bytes`);
    }
  },
};

/** Begins to upload, and returns the session when the parts underway are held in their middles. */
async function inTheMiddle(example, proxy, file) {
  proxy.allow(MIDDLE_BYTES);
  await example.begin(file.path);
  return until('parts are held', () => {
    const held = proxy.underway().filter((put) => put.isHeld);
    if (held.length === 0) return undefined;
    const [{ session }] = held;
    // As many as it sends at once: then it has seen the answers for all that have arrived.
    const missing = file.parts - proxy.acknowledged(session).size;
    return held.length === Math.min(example.partsAtOnce, missing) ? session : undefined;
  });
}

/** Runs the rest of an upload, in which no part may be sent that had arrived before. */
async function afterwards(proxy, session, rest) {
  const arrived = proxy.acknowledged(session);
  assert(arrived.size > 0, 'no part had arrived');
  const before = proxy.puts.length;
  await rest();
  const again = proxy.puts.slice(before).filter((put) => put.session !== session || arrived.has(put.index));
  assert.deepEqual(again, [], 'these were sent though they had arrived');
}

async function isThere(example, file) {
  const { url, hash } = await example.result();
  assert.match(hash, /^blake3:[0-9a-f]{64}$/);
  assert.equal(await sha256Of(url), file.sha256);
}

/** Runs in the page: as in a network without the Internet. */
function sayOffline() {
  Object.defineProperty(Navigator.prototype, 'onLine', { get: () => false, configurable: true });
}

/** Runs in the page: as with cookies blocked, or in a sandboxed frame. */
function denyStorage() {
  Object.defineProperty(window, 'localStorage', {
    get() {
      throw new DOMException('denied', 'SecurityError');
    },
  });
}

function hasExpired(url) {
  const expires = new URL(url, 'http://localhost').searchParams.get('expires');
  return Date.now() / 1000 > Number(expires) + 1;
}
