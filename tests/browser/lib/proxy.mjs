// A proxy in front of Partway that sees every part, slows them down, holds them in the middle, and loses the network.

import http from 'node:http';
import { once } from 'node:events';

const PART = /^\/api\/v1\/multipart\/(?<session>[^/]+)\/parts\/(?<index>\d+)\?/;

export class Proxy {
  /** Every PUT of a part, in the order in which they came: `{session, index, at, url, isHeld, isOver, status}`. */
  puts = [];
  /** How many connections it has accepted. */
  connections = 0;

  #server = http.createServer((request, response) => this.#forward(request, response).catch(() => response.destroy()));
  #sockets = new Set();
  #bytesPerSecond = Infinity;
  #nextAt = 0;
  #allowedBytes = Infinity;
  #passingHeads = Infinity;
  #maxBytes = Infinity;
  #headersOf413;
  #longestMs = Infinity;
  #hidesRefusals = false;
  #dropsCors = () => false;
  #instead = [];
  #change = withResolvers();

  static async listen() {
    const proxy = new Proxy();
    proxy.#server.on('connection', (socket) => {
      proxy.connections += 1;
      proxy.#sockets.add(socket);
      socket.on('close', () => proxy.#sockets.delete(socket));
    });
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    proxy.port = proxy.#server.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  /** Undoes what a test did, and forgets what it saw. Nothing of it may eat up what the next one allows. */
  async reset() {
    // A connection of a page that is closed already may still be waiting to be accepted.
    do {
      for (const socket of this.#sockets) socket.destroy();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#sockets.size > 0);
    if (!this.#server.listening) await this.restore();
    this.#instead = [];
    this.#bytesPerSecond = Infinity;
    this.#maxBytes = Infinity;
    this.#longestMs = Infinity;
    this.#hidesRefusals = false;
    this.#dropsCors = () => false;
    this.release();
    this.puts = [];
  }

  /** Lets the bytes of parts through no faster than this. */
  slow(bytesPerSecond) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Answers parts that are larger by itself, as nginx does, with these headers of CORS: a page of another origin sees nothing without. */
  limitBodies(bytes, headers = { 'Access-Control-Allow-Origin': '*' }) {
    this.#maxBytes = bytes;
    this.#headersOf413 = headers;
  }

  /** Breaks requests for parts that take longer, as Traefik does. */
  limitTime(ms) {
    this.#longestMs = ms;
  }

  /** Drops the headers of CORS from answers to requests for which `test` holds of method and path. */
  dropCors(test) {
    this.#dropsCors = test;
  }

  /** Answers 502 in place of every refusal of a part. */
  hideRefusals() {
    this.#hidesRefusals = true;
  }

  /** Lets this many more bytes of parts through, and then holds every part where it is. */
  allow(bytes) {
    this.#allowedBytes = bytes;
  }

  /** Holds every request for a part that comes after so many more, before Partway sees anything of it. */
  holdHeads(after) {
    this.#passingHeads = after;
  }

  /** Lets everything through that was held. */
  release() {
    this.#allowedBytes = Infinity;
    this.#passingHeads = Infinity;
    this.#wake();
  }

  /** Breaks all connections and refuses new ones. */
  async cut() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async restore() {
    this.connections = 0;
    await once(this.#server.listen(this.port, '127.0.0.1'), 'listening');
  }

  close() {
    return new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  /** Answers the next request whose method and path match itself. */
  answerNext(method, path, answer) {
    this.#instead.push({ method, path, answer });
  }

  /** Forwards the next request that matches, but keeps its answer until the returned function is called. */
  holdNextAnswer(method, path) {
    const { promise, resolve } = withResolvers();
    const held = { method, path, until: promise, isHeld: false };
    this.#instead.push(held);
    return Object.assign(() => resolve(), { isHeld: () => held.isHeld });
  }

  /** Forwards the next request that matches, and breaks the connection instead of answering. */
  loseNextAnswer(method, path) {
    this.#instead.push({ method, path, isLost: true });
  }

  /** PUTs that are underway. */
  underway() {
    return this.puts.filter((put) => !put.isOver);
  }

  /** Indices of the parts of a session that Partway has acknowledged. */
  acknowledged(session) {
    return new Set(this.puts.filter((put) => put.session === session && put.status === 200).map((put) => put.index));
  }

  async #forward(request, response) {
    const at = this.#instead.findIndex(({ method, path }) => method === request.method && path.test(request.url));
    const [instead] = at < 0 ? [] : this.#instead.splice(at, 1);
    const part = request.method === 'PUT' && PART.exec(request.url)?.groups;
    const put = part && { session: part.session, index: Number(part.index), at: performance.now(), url: request.url };
    if (put) this.puts.push(put);
    const left = new AbortController();
    const late = put && this.#longestMs < Infinity && setTimeout(() => response.destroy(), this.#longestMs);
    response.on('close', () => {
      clearTimeout(late);
      if (put) put.isOver = true;
      left.abort();
      this.#wake();
    });
    if (put && Number(request.headers['content-length']) > this.#maxBytes) {
      request.resume();
      response.writeHead(413, { 'Content-Type': 'text/html', ...this.#headersOf413 });
      return response.end('<html>413 Request Entity Too Large</html>');
    }
    if (instead?.answer) {
      request.resume();
      response.writeHead(instead.answer.status, { 'Access-Control-Allow-Origin': '*', ...instead.answer.headers });
      return response.end(instead.answer.body);
    }
    while (put && this.#passingHeads <= 0 && !left.signal.aborted) await this.#hold(put);
    if (put) this.#passingHeads -= 1;
    if (left.signal.aborted) return;
    const { method, url: path, headers } = request;
    const upstream = http.request({ host: '127.0.0.1', port: this.upstreamPort, method, path, headers, agent: false });
    left.signal.addEventListener('abort', () => upstream.destroy());
    let isAnswered = false;
    upstream.on('error', () => isAnswered || response.destroy());
    upstream.on('response', async (answer) => {
      isAnswered = true;
      this.#wake();
      if (put) put.status = answer.statusCode;
      if (instead?.isLost) return response.destroy();
      if (put && answer.statusCode >= 400 && this.#hidesRefusals) {
        response.writeHead(502, { 'Access-Control-Allow-Origin': '*' });
        return response.end('<html>502 Bad Gateway</html>');
      }
      if (instead?.until) {
        instead.isHeld = true;
        await instead.until;
      }
      const { connection, ...kept } = answer.headers;
      if (this.#dropsCors(method, path)) {
        for (const name of Object.keys(kept)) if (name.startsWith('access-control-')) delete kept[name];
      }
      if (!left.signal.aborted) answer.pipe(response.writeHead(answer.statusCode, kept));
    });
    for await (const chunk of request) {
      if (put) await this.#pace(put, chunk.length, () => left.signal.aborted || isAnswered);
      // An answer before the end of the body is a refusal. The rest is taken and dropped, as proxies do.
      if (!isAnswered && !upstream.write(chunk)) await firstOf(upstream, 'drain', 'response', 'close');
    }
    upstream.end();
  }

  async #hold(put) {
    put.isHeld = true;
    await this.#change.promise;
    put.isHeld = false;
  }

  async #pace(put, bytes, isInVain) {
    while (this.#allowedBytes <= 0 && !isInVain()) await this.#hold(put);
    this.#allowedBytes -= bytes;
    if (this.#bytesPerSecond === Infinity) return;
    const now = performance.now();
    this.#nextAt = Math.max(this.#nextAt, now) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#nextAt - now > 5) await new Promise((resolve) => setTimeout(resolve, this.#nextAt - now));
  }

  #wake() {
    const { resolve } = this.#change;
    this.#change = withResolvers();
    resolve();
  }
}

async function firstOf(emitter, ...events) {
  const done = new AbortController();
  await Promise.race(events.map((event) => once(emitter, event, { signal: done.signal }))).catch(() => {});
  done.abort();
}

// Promise.withResolvers is in Node from version 22 on.
function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
