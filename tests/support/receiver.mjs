// Receivers of alerts for tests: webhooks whose signatures are checked by an independent library, and an SMTP server.
// usage: node receiver.mjs FILE [SECRET]     prints "HTTPPORT SMTPPORT"; appends a JSON line to FILE for each message.
// POST /ok 204, /bad 500 until FILE.up exists, /gone 410, /moved 302 to /ok, /inward 307 to the metadata service of a cloud,
// /limit 429 with Retry-After: 40, /hang no answer until FILE.up exists, /drip headers without an end, /reset the connection
// closed; 200 and then: /huge 8 MiB, /endless a body without an end, /torn closed in the middle of it
import { createServer } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { appendFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const [file, secret] = process.argv.slice(2);
const require = createRequire(new URL('../tools/package.json', import.meta.url));
const { Webhook } = require('standardwebhooks');
const note = (entry) => appendFileSync(file, JSON.stringify(entry) + '\n');

function drip(socket) {
  socket.write('HTTP/1.1 200 OK\r\n');
  const timer = setInterval(() => socket.write('X-More: 1\r\n'), 200);
  socket.on('close', () => clearInterval(timer));
}

function go_on(path, res) {
  res.on('error', () => {});
  res.writeHead(200, path === '/torn' ? { 'content-length': '1000' } : {});
  if (path === '/huge') return void res.end('x'.repeat(8 << 20));
  res.write('x'.repeat(100));
  if (path === '/torn') return void setTimeout(() => res.destroy(), 20);
  const timer = setInterval(() => res.write('x'), 100);
  res.on('close', () => clearInterval(timer));
}

const http = createServer((req, res) => {
  let body = '';
  req.on('data', (part) => { body += part; });
  req.on('end', () => {
    let signed = null;
    if (secret) try { new Webhook(secret).verify(body, req.headers); signed = true; } catch (e) { signed = String(e.message); }
    const odd = ['/huge', '/endless', '/torn'].includes(req.url);
    const status = { '/ok': 204, '/gone': 410, '/moved': 302, '/inward': 307, '/limit': 429 }[req.url] ?? (odd ? 200 : null) ?? (existsSync(file + '.up') ? 204 : 500);
    if (req.url === '/hang' && !existsSync(file + '.up')) return note({ path: req.url, status: 0, body });
    note({ path: req.url, id: req.headers['webhook-id'], type: req.headers['content-type'], signed, status, body });
    if (req.url === '/reset') return void req.socket.destroy();
    if (req.url === '/drip') return drip(req.socket);
    if (odd) return go_on(req.url, res);
    res.writeHead(status, { 302: { location: '/ok' }, 307: { location: 'http://169.254.169.254/latest/meta-data/' },
      429: { 'retry-after': '40' } }[status] ?? {}).end();
  });
});

const smtp = createTcp((socket) => {
  let text = '', data = false, mail = { to: [] };
  socket.write('220 test\r\n');
  socket.on('error', () => {});
  socket.on('data', (part) => {
    text += part;
    for (;;) {
      const end = data ? text.indexOf('\r\n.\r\n') : text.indexOf('\r\n');
      if (end < 0) return;
      const line = text.slice(0, end);
      text = text.slice(end + (data ? 5 : 2));
      if (data) { data = false; note({ path: 'smtp', ...mail, body: line }); socket.write('250 taken\r\n'); mail = { to: [] }; }
      else if (/^(EHLO|HELO)/i.test(line)) socket.write('250 test\r\n');
      else if (/^MAIL/i.test(line)) { mail.from = line; socket.write('250 ok\r\n'); }
      else if (/^RCPT/i.test(line)) { mail.to.push(line); socket.write('250 ok\r\n'); }
      else if (/^DATA/i.test(line)) { data = true; socket.write('354 go on\r\n'); }
      else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n');
      else socket.write('250 ok\r\n');
    }
  });
});

http.listen(0, '127.0.0.1', () => smtp.listen(0, '127.0.0.1', () =>
  console.log(`${http.address().port} ${smtp.address().port}`)));
