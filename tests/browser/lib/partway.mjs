// The real server, on a fresh data directory and a port of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';

export class Partway {
  /** Starts it. `publicUrl` is what its URLs begin with; `settings` are environment variables. */
  static async start(binary, dataDir, publicUrl, settings) {
    const flags = ['--data-dir', dataDir, '--listen', '127.0.0.1:0', '--public-url', publicUrl];
    // Variables of the tests are not settings of the server, which refuses unknown ones.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PARTWAY_'));
    const env = { ...Object.fromEntries(inherited), PARTWAY_LOG_FILTER: 'warn', ...settings };
    const child = spawn(binary, ['serve', ...flags], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    let text = '';
    for await (const line of createInterface({ input: child.stdout })) {
      text += `${line}\n`;
      if (/^ *public key/.test(line)) break;
    }
    const found = /listens on (?<address>\S+);.* (?<privateKey>sk_\w+) .* (?<publicKey>pk_\w+) /s.exec(text);
    if (!found) throw new Error(`the server did not start: ${text}`);
    child.stdout.resume();
    return Object.assign(new Partway(), { child, exited, ...found.groups, url: `http://${found.groups.address}` });
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.exited;
  }

  /** A call with the private key; an answer that is not 2xx fails. */
  async call(method, path, body) {
    const headers = { Authorization: `Bearer ${this.privateKey}`, 'Content-Type': 'application/json' };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }

  session(id) {
    return this.call('GET', `/api/v1/multipart/${id}`);
  }

  async sessions() {
    const { sessions } = await this.call('GET', '/api/v1/multipart?limit=100');
    return sessions;
  }
}

/** The SHA-256 of what is at `url`. */
export async function sha256Of(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const hash = createHash('sha256');
  for await (const chunk of response.body) hash.update(chunk);
  return hash.digest('hex');
}
