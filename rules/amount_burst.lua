--- Several very large transfers of one sender within a day.
---@type cw.Rule
return rule {
  id = "eth.high_value_burst",  version = "1.1.0",  severity = "medium",  status = "stable",
  title = "Burst of very large transfers",
  description = "An address without a long history sends several very large amounts within a day. Thefts are moved in this "
    .. "way, in parts, as soon as the thief has them. Senders with many transactions behind them (a high nonce) are "
    .. "services and stay out, and so do those that have paid many others before.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: size and frequency",
    "Sky Mavis, Back to Building: Ronin Security Breach Postmortem, 2022",
  },
  false_positives = { "over-the-counter desks and custodians with new hot wallets: put them on a list" },
  tags = { "amount", "velocity", "theft" },
  params = {
    min_ether = 100,
    transfers = 5,
    window = "24h",
    established = 1000,      -- from this nonce on the sender is a service
    known_receivers = 25,    -- different ones of large sums in a quarter: a service, whatever its nonce
    known = "exchange,custodian,bridge,mev_builder,mining_pool",
  },
  cooldown = "24h",
  when = function(p) return { min_ether = p.min_ether, max_nonce = p.established - 1 } end,
  state = function(p)
    return {
      count = window.count { key = "from", span = p.window, max_keys = 20000 },
      sum = window.sum { key = "from", of = "value", span = p.window, max_keys = 20000 },
      receivers = window.distinct { key = "from", of = "to", span = "90d", buckets = 3, capacity = 64, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n, sum = s.count:add(tx) or 0, s.sum:add(tx) or 0
    local receivers = s.receivers:add(tx) or 0
    if n < p.transfers or receivers >= p.known_receivers or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.25 + 0.1 * math.log10(sum / 1e18 / p.min_ether), 0.6),
      dedup = tx.from,
      explain = { transfers = n, limit = p.transfers, ether = sum / 1e18, nonce = tx.nonce, window = p.window },
    }
  end,
  tests = {
    { name = "fires at the fifth", given = txs { n = 5, from = A, to = each, ether = { 400, 900 }, nonce = { 1, 2 } },
      expect = { alerts = 1, first = 5, severity = "medium", dedup = A } },
    { name = "quiet below the amount", given = txs { n = 20, from = A, ether = 99, nonce = 1 }, expect = "quiet" },
    { name = "quiet for one who has paid many before",
      given = { txs { n = 25, from = A, to = each, ether = 120, nonce = 1, every = "1d" },
                txs { n = 6, from = A, to = each, ether = 900, nonce = 30, after = "2d" } },
      expect = "quiet" },
    { name = "quiet over days", given = txs { n = 8, from = A, ether = 500, nonce = 1, every = "12h" }, expect = "quiet" },
    { name = "quiet for an old sender", given = txs { n = 20, from = A, ether = 500, nonce = 50000 }, expect = "quiet" },
    { name = "quiet for a custodian", lists = { [A] = "custodian" }, given = txs { n = 9, from = A, ether = 500,
      nonce = 3 }, expect = "quiet" },
  },
}
