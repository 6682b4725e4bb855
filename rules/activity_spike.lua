--- A sender with a quiet past does dozens of transactions this hour.
---@type cw.Rule
return rule {
  id = "eth.activity_spike",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Sudden activity of a known sender",
  description = "An address with a past, which sent little or nothing in the last hour, sends dozens of transactions in this one: a key "
    .. "that somebody else uses now, a bot that has run wild, or the beginning of a dispersal. Hours are those of the clock. "
    .. "A sketch of a few kilobytes counts everybody, and only who is busy gets an entry of its own.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: size and frequency",
    "G. Cormode, S. Muthukrishnan, An Improved Data Stream Summary: the Count-Min Sketch, Journal of Algorithms 55, 2005",
  },
  false_positives = { "exchanges that pay out in batches; games and mints that start at a full hour" },
  tags = { "velocity", "account.takeover" },
  params = {
    least = 60,              -- transactions in this hour
    quiet = 15,              -- fewer than this in the hour before
    past = 50,               -- transactions it must have sent before this hour, as its nonce tells
    known = "exchange,custodian,bridge,mining_pool,mev_bot,mev_builder",
  },
  state = function(p)
    return {
      all = sketch.count { of = "from", every = "1h", cells = 16384 },
      busy = window.tumbling { key = "from", span = "1h", max_keys = 5000 },
      start = key.first_seen { },                 -- of the stream: before the second hour there is nothing to compare with,
      pulse = window.tumbling { span = "1h" },     -- nor after a gap in it
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.all:add(tx) or 0
    if n < p.quiet then return end
    s.start:add(tx)
    s.pulse:add(tx)
    s.busy:add(tx)
    if n < p.least or tx.nonce < n + p.past or (s.busy:before_count(tx) or 0) > 0 then return end
    if (s.start:age(tx) or 0) < 7200 or (s.pulse:before_count(tx) or 0) == 0 or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.2 + 0.1 * n / p.least, 0.7),
      dedup = tx.from,
      explain = { transactions = n, limit = p.least, hour_before_below = p.quiet, nonce = tx.nonce },
    }
  end,
  tests = {
    { name = "fires for somebody who was quiet",
      given = { txs { n = 20, from = B }, txs { n = 20, from = B, at = "2h" }, txs { n = 4, from = A, nonce = 500 },
                txs { n = 70, from = A, at = "3h", every = "5s", nonce = 500 } },
      expect = { alerts = 11, first = 104, severity = "low", dedup = A } },
    { name = "quiet for somebody new",
      given = { txs { n = 20, from = B }, txs { n = 20, from = B, at = "2h" },
                txs { n = 500, from = A, at = "3h", nonce = { 0, 1, 2, 3 } } }, expect = "quiet" },
    { name = "quiet after a gap in the stream",
      given = { txs { n = 20, from = B }, txs { n = 70, from = A, at = "9h", every = "5s", nonce = 500 } }, expect = "quiet" },
    { name = "quiet for somebody busy",
      given = { txs { n = 20, from = B }, txs { n = 50, from = A, at = "2h", every = "10s", nonce = 500 },
                txs { n = 70, from = A, at = "3h", every = "5s", nonce = 500 } }, expect = "quiet" },
    { name = "quiet in the first hours", given = txs { n = 70, from = A, nonce = 500 }, expect = "quiet" },
    { name = "quiet for a bot on the list", lists = { [A] = "mev_bot" },
      given = { txs { n = 20, from = B }, txs { n = 20, from = B, at = "2h" },
                txs { n = 70, from = A, at = "3h", every = "5s", nonce = 500 } }, expect = "quiet" },
  },
}
