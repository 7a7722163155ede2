// The pages of the two examples, as a person would use them.

import { fileURLToPath } from 'node:url';

import { until } from './until.mjs';

class Example {
  #context;
  /** Every state that the page has shown since the last thing that was done to it. One that passes in a moment counts. */
  #states = [];

  /** Opens the page at `url` in a browser profile of its own. */
  async open(browser, url) {
    this.#context = await browser.newContext();
    this.page = await this.#context.newPage();
    this.page.setDefaultTimeout(150_000);
    this.errors = [];
    this.page.on('pageerror', (error) => this.errors.push(error));
    this.underway = new Set(); // PUTs, as the browser sees them
    this.page.on('request', (request) => request.method() === 'PUT' && this.underway.add(request));
    this.page.on('requestfinished', (request) => this.underway.delete(request));
    this.page.on('requestfailed', (request) => this.underway.delete(request));
    await this.page.exposeBinding('tellState', (_, state) => this.#states.push(state));
    await this.page.addInitScript(recordProgress, this.progressBar);
    await this.page.addInitScript(tellStates);
    await this.page.goto(url);
    return this;
  }

  /** Loads the page again, as if it came by https. */
  async comeByHttps(server) {
    const page = 'https://pages.example.com/';
    const folder = fileURLToPath(new URL(`../../../${this.constructor.folder}/`, import.meta.url));
    await this.page.route(`${page}**`, (route) => {
      const { pathname } = new URL(route.request().url());
      return route.fulfill({ path: folder + (pathname === '/' ? 'index.html' : pathname.slice(1)) });
    });
    await this.page.goto(`${page}?${new URLSearchParams({ server, key: 'pk_any' })}`);
  }

  async close() {
    await this.#context.close();
    if (this.errors.length > 0) throw this.errors[0];
  }

  /** Every value of the progress bar since the page was loaded, in percent. */
  progress() {
    return this.page.evaluate('recordedProgress');
  }

  /** Something is done to the page: what it showed before does not count any more. */
  act() {
    this.#states = [];
  }

  async state() {
    return this.page.locator('#status').getAttribute('data-state');
  }

  statusText() {
    return this.page.locator('#status').textContent();
  }

  async reaches(state) {
    try {
      await until(`state ${state}`, async () => this.#states.includes(state) || (await this.state()) === state);
    } catch (error) {
      throw new Error(`${error.message}; it is ${await this.state()}: ${await this.statusText()}`);
    }
  }

  setOffline(isOffline) {
    this.act();
    return this.#context.setOffline(isOffline);
  }

  /** The file's record as the page shows it at the end. */
  async result() {
    await this.reaches('done');
    const [url, hash] = await Promise.all(this.resultAt.map((selector) => this.page.locator(selector).textContent()));
    return { url, hash };
  }
}

export class PlainExample extends Example {
  static title = 'plain JavaScript';
  static folder = 'examples/browser';
  partsAtOnce = 4;
  repeatsByItself = 0;
  progressBar = { selector: 'progress', attribute: 'value', scale: 100 };
  resultAt = ['#url', '#hash'];

  async begin(file) {
    await this.page.locator('input[type=file]').setInputFiles(file);
    await this.goOn();
  }

  async refresh(file) {
    await this.page.reload();
    return () => this.begin(file);
  }

  goOn() {
    this.act();
    return this.page.locator('#start').click();
  }

  pause() {
    this.act();
    return this.page.locator('#pause').click();
  }

  abort() {
    this.act();
    return this.page.locator('#abort').click();
  }

  /** Whether the page would go on with an upload that it remembers. */
  remembers() {
    return this.page.evaluate('localStorage.length > 0');
  }
}

export class UppyExample extends Example {
  static title = 'Uppy';
  static folder = 'examples/uppy';
  partsAtOnce = 1; // Uppy 6 sends the parts of a file one after the other
  repeatsByItself = 3; // and a part three more times before it asks
  progressBar = { selector: '.uppy-StatusBar [role=progressbar]', attribute: 'aria-valuenow', scale: 1 };
  resultAt = ['#results a', '#results code'];

  async begin(file) {
    this.act();
    await this.page.locator('input.uppy-Dashboard-input').first().setInputFiles(file);
    await this.page.locator('.uppy-StatusBar-actionBtn--upload').click();
  }

  async refresh(file) {
    await until('Uppy has noted the session', () => this.#notedFiles((stored) => stored.s3Multipart));
    await this.page.reload();
    await this.page.locator('.uppy-Dashboard-Item.is-ghost').waitFor();
    return async () => {
      await this.page.locator('.uppy-Dashboard-Item-reSelect').click();
      await this.begin(file);
    };
  }

  goOn() {
    this.act();
    return this.page.locator('[data-cy=togglePauseResume]').click();
  }

  pause() {
    this.act();
    return this.page.locator('[data-cy=togglePauseResume]').click();
  }

  abort() {
    this.act();
    return this.page.locator('[data-cy=cancel]').click();
  }

  remembers() {
    return this.#notedFiles(() => true);
  }

  /** Whether GoldenRetriever has a file in its database for which `test` holds. */
  async #notedFiles(test) {
    const stored = await this.page.evaluate(readGoldenRetriever);
    return stored.some(test);
  }
}

/** Runs in the page. */
function tellStates() {
  let last;
  new MutationObserver(() => {
    const state = document.querySelector('#status')?.dataset.state;
    if (state && state !== last) tellState((last = state));
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
}

/** Runs in the page. */
function recordProgress({ selector, attribute, scale }) {
  window.recordedProgress = [];
  new MutationObserver(() => {
    const value = Number(document.querySelector(selector)?.getAttribute(attribute)) * scale;
    if (value && value !== recordedProgress.at(-1)) recordedProgress.push(value);
  }).observe(document, { subtree: true, childList: true, attributes: true });
}

/** Runs in the page. */
async function readGoldenRetriever() {
  const answered = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const database = await answered(indexedDB.open('uppy-blobs'));
  const entries = await answered(database.transaction('metadata').objectStore('metadata').getAll());
  database.close();
  return entries.flatMap(({ metadata }) => Object.values(JSON.parse(metadata).files));
}
