// Promises of the examples. Each gets `open` (opens the page of the example, with settings for its query),
// `partway` and the `proxy` in front of it, `startPartway` (another one, with settings), and a `file` of 100 MB, a
// `smallFile` of half of that, a `mediumFile` of two parts and a piece, a `twin` of the latter (another file of the same name, size and time), a `tinyFile` and an
// `emptyFile`, each with `path`, `parts` and `sha256`.

import assert from 'node:assert/strict';
import { appendFile, copyFile } from 'node:fs/promises';

import { TimeLimit } from '../../examples/browser/time_limit.js';
import { partSize } from '../../examples/uppy/partway.js';
import { sha256Of } from './lib/partway.mjs';
import { until } from './lib/until.mjs';

const MB = 1_000_000;
/** When this much has passed, one part has arrived, even if four go at once, and one has not, even of a small file. */
const MIDDLE_BYTES = 45 * MB;
/** Long enough for a busy machine to send a first part in it. */
const TTL_SECONDS = 8;
const PART = /\/parts\//;
// Fewer parts at once are tried first. On a busy machine even a part that is sent alone may take too long.
const FEWER_OR_SMALLER = /proxy.*(fewer|[Ss]maller)/;

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

  async 'an upload that ended without the page starts over at once, also where a proxy hides why parts are refused'(
    { open, proxy, partway, smallFile: file },
  ) {
    const example = await open();
    const session = await inTheMiddle(example, proxy, file);
    await partway.call('DELETE', `/api/v1/multipart/${session}`);
    proxy.hideRefusals();
    const before = proxy.puts.length;
    proxy.release();
    await isThere(example, file);
    const inVain = proxy.puts.slice(before).filter((put) => put.session === session);
    assert(inVain.length <= example.repeatsByItself, `${inVain.length} parts were sent in vain`);
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

  async 'a part counts only with an ETag: a proxy may answer 200 by itself'({ open, proxy, smallFile: file }) {
    const example = await open();
    const headers = { 'Access-Control-Expose-Headers': 'ETag' };
    proxy.answerNext('PUT', PART, { status: 200, headers, body: '' });
    await example.begin(file.path);
    await isThere(example, file);
    assert.equal(proxy.acknowledged(proxy.puts[0].session).size, file.parts);
  },

  async 'answers that never have an ETag end the upload, and the page says what to check'({ open, proxy, tinyFile: file }) {
    const example = await open();
    for (let again = 0; again < 20; again++) proxy.answerNext('PUT', PART, { status: 200, body: '' });
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /ETag.*CORS/);
  },

  async 'answers that the browser does not let the page read end the upload, and the page says what to check'({ open, proxy, tinyFile: file }) {
    for (const isDropped of [() => true, (method, path) => PART.test(path)]) {
      const example = await open();
      proxy.dropCors(isDropped);
      await example.begin(file.path);
      await example.reaches('failed');
      assert.match(await example.statusText(), /CORS.*doctor --fix-cors/);
    }
  },

  async 'an address that is not one of Partway ends the upload, and the page says so'({ open, proxy, tinyFile: file }) {
    const example = await open();
    proxy.answerNext('POST', /\/start$/, { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Hello</html>' });
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /address of the server/);
  },

  async 'a page that came by https and may not send to http ends the upload, and says why'({ open, tinyFile: file }) {
    const example = await open();
    await example.comeByHttps('http://192.0.2.1'); // nobody is there
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /by https.*http:\/\/192.0.2.1/);
  },

  async 'a full disk ends the upload, and the page says so'({ open, proxy, tinyFile: file }) {
    const example = await open();
    const body = JSON.stringify({ message: 'the disk is full', errorCode: 'INSUFFICIENT_STORAGE' });
    proxy.answerNext('POST', /\/start$/, { status: 507, headers: { 'Content-Type': 'application/json' }, body });
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /the disk is full/);
  },

  async 'a wrong key ends the upload, and the page says so'({ open, tinyFile: file }) {
    const example = await open({ key: 'pk_wrong' });
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /key/i);
  },

  async 'a small file, with any characters in its name, goes the same way'({ open, proxy, tinyFile: file }) {
    const example = await open();
    await example.begin(file.path);
    await isThere(example, file);
    assert.equal(proxy.puts.length, 1);
  },

  async 'where a proxy ends requests after a time that a part takes even alone, smaller ones are sent'(
    { open, proxy, partway, mediumFile: file },
  ) {
    const example = await open();
    proxy.limitTime(3000);
    proxy.slow(2.7 * MB); // a part of 10 MiB takes 3.9 s, one of 5 MiB 1.9 s
    await example.begin(file.path);
    await isThere(example, file);
    assert.match(await example.page.locator('#note').textContent(), /proxy.*[Ss]maller/);
    // A busy machine adds to the time of a part, so smaller ones yet may be needed.
    const { part_size: size } = (await partway.sessions()).find(({ status }) => status === 'completed');
    assert(size <= 5 * 1024 * 1024, `${size} bytes`);
  },

  async 'parts are sent smaller where the browser does not let the page read that a proxy refuses their size'(
    { open, proxy, partway, mediumFile: file },
  ) {
    const example = await open();
    proxy.limitBodies(6 * 1024 * 1024, {});
    await example.begin(file.path);
    await isThere(example, file);
    assert.match(await example.page.locator('#note').textContent(), /proxy.*[Ss]maller/);
    const { part_size: size } = (await partway.sessions()).find(({ status }) => status === 'completed');
    assert.equal(size, 5 * 1024 * 1024);
  },

  async 'a proxy that ends requests before even the smallest part has passed is named'({ open, proxy, tinyFile: file }) {
    const example = await open();
    proxy.limitTime(3000);
    proxy.slow(0.2 * MB);
    await example.begin(file.path);
    await example.reaches('failed');
    assert.match(await example.statusText(), /proxy.*a fixed time of [3-8] s or less.*readTimeout/);
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

  async 'where a proxy ends parts that are sent at once for their time, fewer are sent, and the page says so'(
    { open, proxy, mediumFile: file },
  ) {
    const example = await open();
    proxy.limitTime(3000);
    proxy.slow(5 * MB); // a part takes 2.1 s, two take 4.2 s
    await example.begin(file.path);
    await isThere(example, file);
    assert.match(await example.page.locator('#note').textContent(), FEWER_OR_SMALLER);
  },

  async 'connections that break by chance, stall, or break at once are not taken for a time limit of a proxy'() {
    const cut = (began, ms, more) => (
      { began, ended: began + ms, movedAt: began + ms, sentBytes: 6 * MB, partBytes: 10 * MB, ...more }
    );
    const judged = (...cuts) => {
      const limit = new TimeLimit(4);
      for (let sending = 0; sending < 4; sending++) limit.permit();
      return cuts.map((each) => limit.judge(each));
    };
    const unrelated = (...cuts) => assert.deepEqual(judged(...cuts), cuts.map(() => 'unrelated'));
    unrelated(...[60_000, 31_000, 44_000, 9_000, 20_000].map((ms, at) => cut(at * 100_000, ms)));
    unrelated(...[0, 0, 0, 0].map((began) => cut(began, 60_000))); // one failure of the network
    unrelated(...[0, 1, 2].map((at) => cut(at * 61_000, 60_000, { movedAt: at * 61_000 + 5_000 })));
    unrelated(...[0, 1, 2].map((at) => cut(at * 1_000, 200)));
    const known = [cut(0, 60_000), cut(61_000, 60_500), cut(122_000, 59_500)];
    assert.deepEqual(judged(...known), ['unrelated', 'unrelated', 'fewer']);
    // Longer than twice a limit, which a browser that repeats a request may take, is none.
    assert.deepEqual(judged(...known, cut(183_000, 200_000), cut(384_000, 60_000)).slice(3), ['unrelated', 'unrelated']);
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

  async 'parts that a proxy refuses for their size are sent in 5 MiB, and the page says so'(
    { open, proxy, partway, mediumFile: file },
  ) {
    const example = await open();
    proxy.limitBodies(6 * 1024 * 1024);
    await example.begin(file.path);
    await isThere(example, file);
    assert.match(await example.page.locator('#note').textContent(), /proxy.*[Ss]maller/);
    const { part_size: size } = (await partway.sessions()).find(({ status }) => status === 'completed');
    assert.equal(size, 5 * 1024 * 1024);
  },

  // It may start over: the page can be gone before the plugin has noted the smaller upload.
  async 'an upload in smaller parts arrives although the page was refreshed'({ open, proxy, smallFile: file }) {
    const example = await open();
    proxy.limitBodies(6 * 1024 * 1024);
    proxy.allow(MIDDLE_BYTES / 2);
    await example.begin(file.path);
    await until('a part is held', () => proxy.underway().some((put) => put.isHeld));
    const begin = await example.refresh(file.path);
    proxy.release();
    await begin();
    await isThere(example, file);
  },

  async 'where a proxy ends files that are sent at once for their time, fewer are sent at once'({ open, proxy, mediumFile: file }) {
    const example = await open();
    const other = `${file.path}.copy`;
    await copyFile(file.path, other);
    proxy.limitTime(3000);
    proxy.slow(5 * MB); // a part takes 2.1 s, two take 4.2 s
    await example.begin([file.path, other]);
    await until('both are there', async () => (await example.page.locator('#results a').count()) === 2);
    assert.match(await example.page.locator('#note').textContent(), FEWER_OR_SMALLER);
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
