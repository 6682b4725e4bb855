--- What comes in goes out again within minutes, time after time.
---@type cw.Rule
return rule {
  id = "eth.pass_through",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Money passes through within minutes",
  description = "An address sends on nearly all of what it was last paid, within minutes, and has done so several times in a "
    .. "day. Nobody lives on such an address: it is a station on a way. Deposit addresses of exchanges behave alike and "
    .. "pay one fixed receiver, which belongs on a list.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: immediate withdrawal",
    "E. Altman et al., Realistic Synthetic Financial Transactions for Anti-Money Laundering Models, NeurIPS 2023",
  },
  false_positives = { "deposit addresses that an exchange sweeps: put the wallet that collects on a list" },
  tags = { "aml.pass_through", "aml.layering" },
  params = {
    within = "10m",          -- from the payment to its being passed on
    share = 0.9,             -- of the payment, at least; no more than the payment itself
    times = 3,               -- in the window
    window = "24h",
    min_ether = 1,
    known = "exchange,custodian,bridge,payment,mining_pool",
  },
  when = function(p) return { kind = "transfer", min_ether = p.share * p.min_ether } end,
  state = function(p)
    return {
      got = window.last { key = "to", of = "value", n = 1, max_keys = 100000 },
      times = window.count { key = "from", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local got = s.got:at(tx, 1, "from")
    local age = got and s.got:age(tx, 1, "from")
    s.got:add(tx)
    if got == nil or got < p.min_ether * 1e18 or age > seconds(p.within) then return end
    if tx.value < p.share * got or tx.value > got then return end
    local n = s.times:add(tx) or 0
    if n < p.times or s.service:has(tx, "from") or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.4 + 0.05 * n, 0.8),
      dedup = tx.from,
      explain = {
        times = n, limit = p.times, ether_in = got / 1e18, ether_out = tx.ether, share = tx.value / got, seconds = age,
        window = p.window,
      },
    }
  end,
  tests = {
    { name = "fires the third time",
      given = txs { n = 6, from = { C, B }, to = { B, each }, ether = { 10, 9.9 }, every = "1m" },
      expect = { alerts = 1, first = 6, severity = "medium", dedup = B } },
    { name = "quiet once", given = txs { n = 4, from = { C, B }, to = { B, each }, ether = { 10, 9.9 }, every = "1m" },
      expect = "quiet" },
    { name = "quiet when half of it stays",
      given = txs { n = 20, from = { C, B }, to = { B, each }, ether = { 10, 5 }, every = "1m" }, expect = "quiet" },
    { name = "quiet when it takes hours",
      given = txs { n = 20, from = { C, B }, to = { B, each }, ether = { 10, 9.9 }, every = "1h" }, expect = "quiet" },
    { name = "quiet into an exchange", lists = { [E] = "exchange" },
      given = txs { n = 20, from = { C, B }, to = { B, E }, ether = { 10, 9.9 }, every = "1m" }, expect = "quiet" },
  },
}
