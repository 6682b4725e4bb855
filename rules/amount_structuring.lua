--- Several transfers of one sender, each just below a limit.
---@type cw.Rule
return rule {
  id = "eth.structuring",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Transfers kept just below a limit",
  description = "Structuring: within a day one address makes several transfers, each between four fifths of a limit and the "
    .. "limit, that together exceed it. Where the limit is a reporting or withdrawal threshold, that is what people do "
    .. "who know it. Set `limit_ether` to the threshold that matters where you are.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: transaction patterns",
    "FinCEN, Proposal of Special Measure Regarding Convertible Virtual Currency Mixing, 88 FR 72701, 2023: splitting",
  },
  false_positives = { "regular payments of similar size: rent of validators, salaries, purchases on an exchange" },
  tags = { "amount", "aml.structuring" },
  params = {
    limit_ether = 10,
    low = 0.8,               -- share of the limit from which on a transfer counts
    transfers = 4,           -- of one sender
    window = "24h",
    known = "exchange,custodian,bridge,payment,mining_pool",
  },
  when = function(p) return { kind = "transfer", min_ether = p.low * p.limit_ether, max_ether = p.limit_ether } end,
  state = function(p)
    return {
      count = window.count { key = "from", span = p.window, max_keys = 20000 },
      sum = window.sum { key = "from", of = "value", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.ether >= p.limit_ether then return end
    local n, sum = s.count:add(tx) or 0, s.sum:add(tx) or 0
    if n == nil or n < p.transfers or s.service:has(tx, "from") then return end
    return alert {
      score = 0.4 + 0.05 * n,
      dedup = tx.from,
      explain = { transfers = n, limit = p.transfers, ether = sum / 1e18, limit_ether = p.limit_ether, window = p.window },
    }
  end,
  tests = {
    { name = "fires at the fourth", given = txs { n = 6, from = A, to = each, ether = { 9.5, 9.9, 8.7 }, every = "1h" },
      expect = { alerts = 3, first = 4, severity = "medium", dedup = A } },
    { name = "quiet at the limit itself", given = txs { n = 6, from = A, ether = 10 }, expect = "quiet" },
    { name = "quiet far below", given = txs { n = 20, from = A, ether = 5 }, expect = "quiet" },
    { name = "quiet over days", given = txs { n = 6, from = A, ether = 9.5, every = "13h" }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" }, given = txs { n = 9, from = A, ether = 9.5 },
      expect = "quiet" },
  },
}
