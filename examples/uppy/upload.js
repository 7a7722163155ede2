// Uploads files to Partway by Uppy 6, with its Dashboard and its AwsS3 plugin; partway.js is what lies between.

import AwsS3 from '@uppy/aws-s3';
import Uppy from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import GoldenRetriever from '@uppy/golden-retriever';
import '@uppy/core/css/style.min.css';
import '@uppy/dashboard/css/style.min.css';

import { Partway, explain, partSize } from './partway.js';

// Uppy and its plugin try nothing while the browser says that it is offline. That is a hint: some say so in a network without the
// Internet, or in a VPN.
const isOnline = Object.getOwnPropertyDescriptor(Navigator.prototype, 'onLine').get.bind(navigator);
Object.defineProperty(navigator, 'onLine', { get: () => true });

const FIRST_PAUSE_MS = 500; // it doubles with every try
const LONGEST_PAUSE_MS = 30_000;

const query = new URLSearchParams(location.search);
const uppy = new Uppy({ infoTimeout: 2_000 });
const partway = new Partway({
  server: query.get('server') ?? location.origin,
  key: query.get('key') ?? '',
  ttlSeconds: Number(query.get('ttl') ?? 86_400),
  getFile: (id) => uppy.getFile(id),
});

uppy
  .use(Dashboard, { target: '#dashboard', inline: true, width: '100%', height: 380 })
  // After a refresh it shows what was underway. A file of more than 10 MiB has to be chosen again: Uppy keeps copies of
  // small ones only.
  .use(GoldenRetriever)
  .use(AwsS3, {
    shouldUseMultipart: true,
    getChunkSize: partSize,
    generateObjectKey: (file) => file.id,
    signRequest: partway.signRequest,
  });

let isPaused = false;
uppy.on('pause-all', () => {
  isPaused = true;
  show('paused', 'Paused.');
});
uppy.on('resume-all', () => (isPaused = false));
window.addEventListener('offline', () => show('offline', 'Waiting for the network …'));
// A request that breaks off, or is broken off, tells of its progress once more.
uppy.on('upload-progress', () => !isPaused && show('uploading', 'Uploading …'));
uppy.on('upload-success', (file) => {
  const { url, hash } = partway.records.get(file.id);
  const item = document.querySelector('template').content.cloneNode(true);
  Object.assign(item.querySelector('a'), { href: url, textContent: url });
  item.querySelector('code').textContent = hash ?? 'no hash: the parts went straight to the store';
  document.querySelector('#results').append(item);
  show('done', 'Done.');
});

// The plugin gives an upload up only while it runs: not one that has failed, or was not gone on with after a refresh.
uppy.on('file-removed', async (file) => {
  if (file.s3Multipart) await partway.abort(file.s3Multipart.uploadId).catch((error) => uppy.log(error, 'warning'));
  show('idle', '');
});

// The plugin itself tries a request again for about a second. The rest is for longer failures.
const failures = new Map(); // by file, how often it has failed since a part last arrived
uppy.on('s3-multipart:part-uploaded', (file, part) => {
  partway.noteUploaded(uppy.getFile(file.id), part);
  failures.delete(file.id);
});
uppy.on('upload-error', async ({ id, data }, error) => {
  const { meaning, message } = explain(error);
  // A file that was changed or deleted meanwhile looks like a lost connection, too; but reading it fails.
  const isReadable = await data.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (!isReadable) return show('failed', 'The file was changed or deleted. Choose it again.');
  const failed = failures.get(id) ?? 0;
  if (meaning === 'final' || (meaning === 'refused' && failed > 3)) return show('failed', message);

  failures.set(id, failed + 1);
  // By chance, so that all whom a server has lost do not come back to it in the same moment.
  const byChance = Math.random() * Math.min(FIRST_PAUSE_MS * 2 ** failed, LONGEST_PAUSE_MS);
  const pauseMs = Math.max(byChance, error.retryAfterMs ?? 0);
  if (isOnline()) show('waiting', `${message}; trying again in ${(pauseMs / 1000).toFixed(1)} s …`);
  else show('offline', 'Waiting for the network …');
  await new Promise((resolve) => {
    setTimeout(resolve, pauseMs);
    window.addEventListener('online', resolve, { once: true });
  });

  // Somebody may have cancelled meanwhile, or tried again by hand.
  if (!uppy.getFile(id)?.error) return;
  if (meaning === 'over') uppy.setFileState(id, { s3Multipart: undefined });
  uppy.retryUpload(id);
});

if (!query.get('key')) show('failed', 'Open this page with ?server=…&key=pk_… after its address.');

function show(state, text) {
  const status = document.querySelector('#status');
  status.dataset.state = state;
  status.textContent = text;
}
