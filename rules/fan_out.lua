--- Many receivers paid from one address within a short window.
---@type cw.Rule
return rule {
  id = "eth.fan_out",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Many receivers paid from one address",
  description = "Dispersal after a theft: one address, dozens of receivers, minutes. Only transfers of value without "
    .. "call data count, so that token contracts and airdrops by contract do not.",
  references = { "FATF, Virtual Assets Red Flag Indicators, 2020, indicators on transaction patterns" },
  false_positives = { "exchanges and payroll: put the sender on a list of category exchange or service" },
  tags = { "aml.layering", "aml.smurfing" },
  params = { window = "10m", receivers = 25, min_ether = 0.01, known = "exchange,mev_builder,bridge" },
  state = function(p)
    return {
      seen = window.distinct { key = "from", of = "to", span = p.window },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.input_size > 0 or tx.ether < p.min_ether then return end
    local n = s.seen:add(tx)
    if n == nil or n < p.receivers or s.service:has(tx, "from") then return end
    return alert {
      score = n / (4 * p.receivers),
      dedup = tx.from,
      explain = { receivers = n, limit = p.receivers, window = p.window, from = tx.from },
    }
  end,
  tests = {
    { name = "quiet below the limit", given = txs { n = 24, from = A, to = each, every = "1s" }, expect = "quiet" },
    { name = "fires at the limit", given = txs { n = 25, from = A, to = each, every = "1s" },
      expect = { alerts = 1, first = 25, severity = "high", dedup = A } },
    { name = "quiet when slow", given = txs { n = 60, from = A, to = each, every = "1m" }, expect = "quiet" },
    { name = "quiet for one receiver", given = txs { n = 100, from = A, to = B }, expect = "quiet" },
    { name = "quiet for calls", given = txs { n = 100, from = A, to = each, selector = "0xa9059cbb" }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" }, given = txs { n = 100, from = A, to = each },
      expect = "quiet" },
  },
}
