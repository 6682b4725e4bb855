--- The same amount, to the last wei, to many receivers.
---@type cw.Rule
return rule {
  id = "eth.repeated_amount",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "One amount paid to many receivers",
  description = "One address pays the same amount, equal to the last wei, to many receivers within an hour: money that is "
    .. "split into equal parts, gas handed out to a fleet of wallets, or bait sent to victims.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: transaction patterns",
    "F. Victor, Address Clustering Heuristics for Ethereum, Financial Cryptography 2020: airdrop and deposit reuse",
  },
  false_positives = { "faucets, payroll, refunds and airdrops of equal size" },
  tags = { "amount", "aml.layering" },
  params = {
    receivers = 40,
    window = "1h",
    min_ether = 0.1,
    known = "exchange,custodian,bridge,payment,mining_pool,payroll",
  },
  when = function(p) return { kind = "transfer", min_ether = p.min_ether } end,
  state = function(p)
    return {
      all = sketch.count { of = "from+value", every = "1h", cells = 16384 },     -- only who repeats himself gets an entry
      seen = window.distinct { key = "from+value", of = "to", span = p.window, max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if (s.all:add(tx) or 0) < 8 then return end
    local n = s.seen:add(tx)
    if n == nil or n + 7 < p.receivers or s.service:has(tx, "from") then return end
    return alert {
      score = 0.2 + n / (10 * p.receivers),
      dedup = tx.from,
      explain = { receivers = n, limit = p.receivers, ether_each = tx.ether, ether = n * tx.ether, window = p.window },
    }
  end,
  tests = {
    { name = "fires at forty", given = txs { n = 41, from = A, to = each, ether = 0.5, every = "10s" },
      expect = { alerts = 2, first = 40, severity = "low", dedup = A } },
    { name = "quiet for different amounts",
      given = txs { n = 90, from = A, to = each, ether = { 0.5, 0.51, 0.52, 0.53 }, every = "1s" }, expect = "quiet" },
    { name = "quiet for one receiver", given = txs { n = 90, from = A, to = B, ether = 0.5 }, expect = "quiet" },
    { name = "quiet for dust", given = txs { n = 90, from = A, to = each, ether = 0.001 }, expect = "quiet" },
    { name = "quiet for payroll", lists = { [A] = "payroll" }, given = txs { n = 90, from = A, to = each, ether = 1 },
      expect = "quiet" },
  },
}
