// Receivers of alerts for tests: webhooks whose signatures are checked by an independent library, and an SMTP server.
// usage: node receiver.mjs FILE [SECRET]     prints "HTTPPORT SMTPPORT"; appends a JSON line to FILE for each message.
// POST /ok 204, /bad 500 until FILE.up exists, /hang no answer until then, /gone 410, /moved 302 to /ok
import { createServer } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { appendFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const [file, secret] = process.argv.slice(2);
const require = createRequire(new URL('../tools/package.json', import.meta.url));
const { Webhook } = require('standardwebhooks');
const note = (entry) => appendFileSync(file, JSON.stringify(entry) + '\n');

const http = createServer((req, res) => {
  let body = '';
  req.on('data', (part) => { body += part; });
  req.on('end', () => {
    let signed = null;
    if (secret) try { new Webhook(secret).verify(body, req.headers); signed = true; } catch (e) { signed = String(e.message); }
    const status = { '/ok': 204, '/gone': 410, '/moved': 302 }[req.url] ?? (existsSync(file + '.up') ? 204 : 500);
    if (req.url === '/hang' && !existsSync(file + '.up')) return note({ path: req.url, status: 0, body });
    note({ path: req.url, id: req.headers['webhook-id'], type: req.headers['content-type'], signed, status, body });
    res.writeHead(status, status === 302 ? { location: '/ok' } : {}).end();
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
