// Nodes of chains that misbehave as no real node would, all from one seed.
//
// usage: node hostile_node.mjs SEED CHAINS     prints its port
// POST /c/I        JSON-RPC of chain I (chain id 9000 + I); /c/I/late is a node of it that stands a few blocks behind,
//                  /c/I/pair answers as one or the other; /c/I/MANNER is a whole node with manners of its own (MANNERS)
// POST /control    {"op":"step","chain":I,"n":N}      N random changes: more blocks, forks of every depth, back to an older fork,
//                                                     a shorter chain, the last block replaced
//                  {"op":"grow","chain":I,"n":N,"txs":T} {"op":"fork","chain":I,"depth":D,"grow":N} {"op":"shrink","chain":I,"n":N}
//                  {"op":"flap","chain":I}            the branch that was left last
//                  {"op":"put","chain":I,"tx":{...}}  a transaction with these fields in the next block
//                  {"op":"chaos","fault":P,"move":Q}  a fault for a share P of requests, a change before a share Q of calls
//                  {"op":"fault","kind":K,"times":N}  the next N requests
//                  {"op":"signal","pid":P,"signal":S,"after":N,"delay":MS}  after so many requests from now
//                  {"op":"head","chain":I}            number and hash
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';

const [seed, nchains] = process.argv.slice(2).map(Number);

function generator(start) {                       // mulberry32
  let a = start >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const random = generator(seed);                   // of changes
const luck = generator(seed + 7919);              // of faults and forms
const upTo = (n) => Math.floor(random() * n);
const digest = (...parts) => '0x' + createHash('sha256').update(parts.join('/')).digest('hex');
const hex = (n) => '0x' + n.toString(16);

let serial = 0;
const address = (chain, i) => '0x' + (chain + 1).toString(16).padStart(2, '0') + 'aa'.padEnd(34, '0') + i.toString(16).padStart(4, '0');

function newTx(chain, with_ = {}) {
  const n = ++serial, type = [0, 0, 2, 1, 3, 4, 0x7e][upTo(7)];
  return { hash: digest('tx', seed, chain, n), type, from: address(chain, upTo(6)), to: upTo(12) === 0 ? null : address(chain, 16 + upTo(6)),
    value: BigInt(upTo(1e9)) * (upTo(5) === 0 ? 10n ** 30n : 1n), gas: 21000 + upTo(1000), price: 1000 + upTo(1000), nonce: upTo(100),
    status: upTo(9) === 0 ? 0 : 1, input: upTo(3) === 0 ? digest('data', n).slice(0, 74) : '0x', logs: upTo(3), odd: with_ };
}

function newBlock(chain, parent, txs) {
  const number = parent ? parent.number + 1 : 0;
  return { number, hash: digest('block', seed, chain.index, ++serial), parent: parent ? parent.hash : '0x' + '0'.repeat(64),
    timestamp: 1700000000 + number * 12, txs };
}

const chains = Array.from({ length: nchains }, (_, index) => {
  const chain = { index, id: 9000 + index, line: [], left: null, odd: [] };
  chain.line.push(newBlock(chain, null, []));
  return chain;
});
const tip = (chain) => chain.line[chain.line.length - 1];
const some = (chain, n) => Array.from({ length: n }, () => newTx(chain.index));

function grow(chain, n, txs) {
  for (let i = 0; i < n; i++) {
    const list = some(chain, txs ?? (upTo(3) === 0 ? 0 : upTo(6))).concat(chain.odd.splice(0));
    chain.line.push(newBlock(chain, tip(chain), list));
  }
}

// The dropped transactions come again in another order, in other blocks, or not at all.
function fork(chain, depth, n) {
  depth = Math.min(depth, chain.line.length - 1);
  chain.left = chain.line;
  const pool = chain.line.slice(chain.line.length - depth).flatMap((b) => b.txs).filter(() => upTo(4) !== 0);
  for (let i = pool.length - 1; i > 0; i--) { const k = upTo(i + 1); [pool[i], pool[k]] = [pool[k], pool[i]]; }
  chain.line = chain.line.slice(0, chain.line.length - depth);
  for (let i = 0; i < n; i++) {
    const own = some(chain, upTo(4)), again = pool.splice(0, i === n - 1 ? pool.length : upTo(pool.length + 1));
    chain.line.push(newBlock(chain, tip(chain), upTo(2) ? own.concat(again) : again.concat(own)));
  }
}

function step(chain) {
  const roll = random(), height = chain.line.length;
  if (roll < 0.4 || height < 4) grow(chain, 1 + upTo(3));
  else if (roll < 0.6) { const d = 1 + upTo(4); fork(chain, d, d + upTo(3)); }
  else if (roll < 0.7) fork(chain, 1, 1);                                   // another block at the same height
  else if (roll < 0.77) fork(chain, 1 + upTo(height - 1), 1 + upTo(height));  // any depth, also to a shorter chain
  else if (roll < 0.87 && chain.left) [chain.line, chain.left] = [chain.left, chain.line];
  else if (roll < 0.93) { chain.left = chain.line; chain.line = chain.line.slice(0, height - 1 - upTo(Math.min(3, height - 2))); }
  else grow(chain, 1, 0);
}

// --- what is said of them: the same in many forms ---

const upper = (text) => '0x' + text.slice(2).toUpperCase();
const form = (text) => (calm || luck() < 0.8 ? text : upper(text));
const quantity = (n) => {
  const text = hex(n), roll = calm ? 1 : luck();
  return roll < 0.1 ? upper(text) : roll < 0.2 ? '0x00' + text.slice(2) : text;
};

function sayTx(chain, block, index) {
  const tx = block.txs[index];
  const said = { type: quantity(tx.type), hash: form(tx.hash), blockHash: form(block.hash), blockNumber: quantity(block.number),
    transactionIndex: quantity(index), from: form(tx.from), to: tx.to && form(tx.to), value: quantity(tx.value), gas: quantity(tx.gas),
    nonce: quantity(tx.nonce) };
  if (tx.type !== 0x7e) Object.assign(said, { chainId: quantity(chain.id), gasPrice: quantity(tx.price) });
  if (tx.type >= 2 && tx.type < 5) Object.assign(said, { maxFeePerGas: hex(tx.price * 2), maxPriorityFeePerGas: '0x1', accessList: [], yParity: '0x1' });
  if (tx.type === 3) Object.assign(said, { maxFeePerBlobGas: '0x1', blobVersionedHashes: [digest('blob', tx.hash)] });
  if (tx.type === 4) said.authorizationList = [{ chainId: '0x1', address: tx.from, nonce: '0x1', yParity: '0x0', r: '0x1', s: '0x2' }];
  if (tx.type === 0x7e) Object.assign(said, { sourceHash: digest('source', tx.hash), mint: '0x0', isSystemTx: false, gasPrice: undefined });
  if (luck() < 0.5) Object.assign(said, { v: '0x1b', r: '0x1', s: '0x2' });
  said[luck() < 0.8 ? 'input' : 'data'] = form(tx.input);
  return Object.assign(said, tx.odd);
}

function sayReceipt(chain, block, index) {
  const tx = block.txs[index];
  return { transactionHash: form(tx.hash), blockHash: form(block.hash), blockNumber: quantity(block.number), transactionIndex: quantity(index),
    from: form(tx.from), to: tx.to && form(tx.to), gasUsed: quantity(21000), cumulativeGasUsed: quantity(21000 * (index + 1)),
    status: quantity(tx.status), effectiveGasPrice: quantity(tx.price), type: quantity(tx.type), logsBloom: '0x' + '0'.repeat(512),
    contractAddress: tx.to ? null : form(digest('created', tx.hash).slice(0, 42)),
    logs: Array.from({ length: tx.logs }, (_, i) => ({ address: address(chain.index, 99), logIndex: quantity(i), data: '0x' + '0'.repeat(63) + '5',
      topics: ['0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef', '0x' + tx.from.slice(2).padStart(64, '0'),
        '0x' + '0'.repeat(62) + 'b2'], blockHash: block.hash, transactionHash: tx.hash, removed: false })) };
}

const sayBlock = (chain, block, full) => block && { number: quantity(block.number), hash: form(block.hash), parentHash: form(block.parent),
  timestamp: quantity(block.timestamp), miner: address(chain.index, 1), gasLimit: '0x1c9c380', uncles: [],
  transactions: block.txs.map((tx, i) => (full ? sayTx(chain, block, i) : form(tx.hash))) };

// A node that is late knows the same chain without its newest blocks.
function answer(chain, line, { method, params }) {
  const at = (tag) => (tag === 'latest' ? line[line.length - 1] : tag === 'finalized' ? line[Math.max(0, line.length - 65)] : line[Number(tag)]);
  switch (method) {
    case 'eth_chainId': return { result: quantity(chain.id) };
    case 'net_version': return { result: String(chain.id) };
    case 'eth_blockNumber': return { result: quantity(line[line.length - 1].number) };
    case 'eth_getBlockByNumber': return { result: sayBlock(chain, at(params[0]), params[1]) ?? null };
    case 'eth_getBlockReceipts': {
      const block = at(params[0]);
      return { result: block ? block.txs.map((_, i) => sayReceipt(chain, block, i)) : null };
    }
    case 'eth_getTransactionReceipt': {
      for (const block of line) {
        const i = block.txs.findIndex((tx) => tx.hash === params[0].toLowerCase());
        if (i >= 0) return { result: sayReceipt(chain, block, i) };
      }
      return { result: null };
    }
    default: return { error: { code: -32601, message: `the method ${method} does not exist` } };
  }
}

// --- manners: nodes that say all there is, and not as others do ---

const gaps = ['blockHash', 'blockNumber', 'transactionIndex', 'chainId', 'type', 'v', 'r', 's', 'gasPrice', 'nonce', 'effectiveGasPrice',
  'cumulativeGasUsed', 'logsBloom', 'miner', 'gasLimit', 'uncles'];
const without = (value) => (Array.isArray(value) ? value.map(without) : value === null || typeof value !== 'object' ? value
  : Object.fromEntries(Object.entries(value).filter(([k]) => !gaps.includes(k)).map(([k, v]) => [k, without(v)])));
const unknown = (...names) => (call, said) => (names.includes(call.method) ? { error: { code: -32601, message: 'no such method' } } : said);

const MANNERS = {
  // Written in an afternoon: breaks at a batch, at "latest", at what it does not know.
  plain: { batch: 0, refuse: (res) => res.destroy(),
    say: (call, said) => (/^(latest|finalized)$/.test(call.params[0]) || call.method === 'eth_getBlockReceipts' ? null : said) },
  // Takes three calls at a time and says so by a status; its receipts come in another order.
  few: { batch: 3, refuse: (res) => res.writeHead(413).end('too large'),
    say: (call, said) => (call.method === 'eth_getBlockReceipts' && said.result ? { result: said.result.reverse() } : said) },
  // Answers what it likes of a batch; has no receipts of a block, and does not say so.
  first: { batch: 2, refuse: null, say: (call, said) => (call.method === 'eth_getBlockReceipts' ? { result: null } : said) },
  // Leaves out what can be left out, and does not know its chain by that name.
  terse: { batch: 1e9, say: (call, said) => unknown('eth_chainId')(call, said.result && call.method !== 'net_version' ? { result: without(said.result) } : said) },
};

// --- faults ---

let calm = true, faultShare = 0, moveShare = 0, signal = null;
const queued = [];
const KINDS = ['500', '503', '429', '429now', 'html', 'cut', 'close', 'overload', 'text error', 'no result', 'partial', 'wrong id', 'twice',
  'missing', 'reordered', 'null block', 'null receipts', 'other fork', 'one fork each', 'big head', 'wrong chain', 'slow', 'empty', 'list of nothing'];

// Changes the list of answers.
function spoil(kind, chain, calls, answers) {
  const pick = answers[Math.floor(luck() * answers.length)];
  const of = (method) => calls.map((c, i) => [c, answers[i]]).filter(([c]) => c.method === method).map(([, a]) => a);
  if (kind === 'partial') { delete pick.result; pick.error = { code: -32000, message: 'header not found' }; }
  if (kind === 'text error') { delete pick.result; pick.error = 'upstream is away'; }
  if (kind === 'no result') delete pick.result;
  if (kind === 'wrong id') pick.id = 4711;
  if (kind === 'twice') answers.push(pick);
  if (kind === 'missing') answers.pop();
  if (kind === 'reordered') answers.reverse();
  if (kind === 'null block') for (const a of of('eth_getBlockByNumber')) a.result = null;
  if (kind === 'null receipts') for (const a of of('eth_getBlockReceipts').concat(of('eth_getTransactionReceipt'))) a.result = null;
  if (kind === 'big head') for (const a of of('eth_getBlockByNumber')) if (a.result) a.result.number = '0x1' + '0'.repeat(16);
  if (kind === 'wrong chain') for (const a of of('eth_chainId')) a.result = '0x5';
  if ((kind === 'other fork' || kind === 'one fork each') && chain.left)
    calls.forEach((c, i) => {
      if (kind === 'one fork each' ? i % 2 === 1 : c.method === 'eth_getBlockReceipts') answers[i] = { ...answers[i], ...answer(chain, chain.left, c) };
    });
  return answers;
}

function rpc(chain, place, body, res) {
  const asked = JSON.parse(body), manner = MANNERS[place];
  const refused = manner && Array.isArray(asked) && asked.length > manner.batch;
  if (refused && manner.refuse) return manner.refuse(res);
  const calls = refused ? asked.slice(0, manner.batch) : Array.isArray(asked) ? asked : [asked];
  let kind = queued.shift() ?? (luck() < faultShare ? KINDS[Math.floor(luck() * KINDS.length)] : null);
  const late = place === 'late' || (place === 'pair' && luck() < 0.5);
  const answers = calls.map((call) => {
    if (moveShare > 0 && luck() < moveShare) step(chain);
    const line = late ? chain.line.slice(0, Math.max(1, chain.line.length - 2)) : chain.line;
    const said = answer(chain, line, call);
    return { jsonrpc: '2.0', id: call.id, ...(manner ? manner.say(call, said) ?? { broken: true } : said) };
  });
  if (answers.some((a) => a.broken)) return res.destroy();
  const send = (status, text, headers = {}) => res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  if (kind === '500' || kind === '503') return send(Number(kind), 'it broke');
  if (kind === '429') return send(429, '', { 'retry-after': '1' });
  if (kind === '429now') return send(429, '{"error":"slow down"}');
  if (kind === 'html') return send(200, '<html>not today</html>');
  if (kind === 'empty') return send(200, '');
  if (kind === 'list of nothing') return send(200, '[]');
  if (kind === 'close') return res.destroy();
  if (kind === 'overload') return send(200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"daily request count exceeded, request rate limited"}}');
  if (kind === 'huge') { res.writeHead(200); const part = ' '.repeat(1 << 20); let n = 80; const more = () => { while (n-- > 0) if (!res.write(part)) return; res.end('[]'); };
    res.on('drain', more); res.on('error', () => {}); return more(); }
  const said = kind ? spoil(kind, chain, calls, answers) : answers;
  const text = JSON.stringify(Array.isArray(asked) ? said : said[0]);
  if (kind === 'cut') { res.writeHead(200, { 'content-length': text.length }); res.write(text.slice(0, text.length >> 1)); return setTimeout(() => res.destroy(), 5); }
  if (kind === 'slow') return setTimeout(() => send(200, text), 250);
  send(200, text);
}

// --- control ---

const ops = {
  step: ({ chain, n = 1 }) => { for (let i = 0; i < n; i++) step(chains[chain]); },
  grow: ({ chain, n = 1, txs }) => grow(chains[chain], n, txs),
  fork: ({ chain, depth, grow: n = depth }) => fork(chains[chain], depth, n),
  shrink: ({ chain, n = 1 }) => { const c = chains[chain]; c.left = c.line; c.line = c.line.slice(0, c.line.length - n); },
  flap: ({ chain }) => { const c = chains[chain]; [c.line, c.left] = [c.left, c.line]; },
  put: ({ chain, tx }) => { chains[chain].odd.push(newTx(chain, tx)); },
  chaos: ({ fault = 0, move = 0 }) => { faultShare = fault; moveShare = move; calm = fault === 0 && move === 0; },
  fault: ({ kind, times = 1 }) => { for (let i = 0; i < times; i++) queued.push(kind); },
  signal: (what) => { signal = what; },
  head: ({ chain }) => ({ number: tip(chains[chain]).number, hash: tip(chains[chain]).hash, txs: chains[chain].line.reduce((n, b) => n + b.txs.length, 0) }),
};

function countDown() {
  if (!signal || signal.after-- > 0) return;
  const { pid, signal: name, delay = 0 } = signal;
  signal = null;
  setTimeout(() => { try { process.kill(pid, name); } catch { /* it has ended */ } }, delay);
}

const server = createServer((req, res) => {
  let body = '';
  req.on('data', (part) => { body += part; });
  req.on('end', () => {
    const [, where, index, place] = req.url.split('/');
    if (where === 'control') {
      const what = JSON.parse(body);
      return res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ops[what.op](what) ?? {}));
    }
    countDown();
    rpc(chains[Number(index)], place, body, res);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
