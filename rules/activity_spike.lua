--- A sender does many times more this hour than in the hour before.
---@type cw.Rule
return rule {
  id = "eth.activity_spike",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Sudden activity of a known sender",
  description = "An address that sent a few transactions in the last hour sends many times as many in this one: a key that "
    .. "somebody else uses now, a bot that has run wild, or the beginning of a dispersal. Hours are those of the clock; an "
    .. "address without a past hour to compare with is left to the rules about new wallets.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: size and frequency",
  },
  false_positives = { "exchanges that pay out in batches; games and mints that start at a full hour" },
  tags = { "velocity", "account.takeover" },
  params = {
    least = 60,              -- transactions in this hour
    factor = 10,             -- times the hour before
    known = "exchange,custodian,bridge,mining_pool,mev_bot,mev_builder",
  },
  state = function(p)
    return {
      hours = window.tumbling { key = "from", span = "1h", max_keys = 50000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.hours:add(tx)
    if n == nil or n < p.least then return end
    local before = s.hours:before_count(tx)
    if before < 2 or n < p.factor * before or s.service:has(tx, "from") then return end
    return alert {
      score = 0.2 + math.min(0.05 * n / before, 0.5),
      dedup = tx.from,
      explain = { transactions = n, hour_before = before, factor = n / before, limit = p.factor },
    }
  end,
  tests = {
    { name = "fires at ten times the hour before",
      given = { txs { n = 4, from = A }, txs { n = 70, from = A, at = "1h", every = "5s" } },
      expect = { alerts = 11, first = 64, severity = "low", dedup = A } },
    { name = "quiet for somebody new", given = txs { n = 500, from = A, every = "1s" }, expect = "quiet" },
    { name = "quiet for somebody busy",
      given = { txs { n = 50, from = A, every = "10s" }, txs { n = 70, from = A, at = "1h", every = "5s" } },
      expect = "quiet" },
    { name = "quiet for a bot on the list", lists = { [A] = "mev_bot" },
      given = { txs { n = 4, from = A }, txs { n = 70, from = A, at = "1h", every = "5s" } }, expect = "quiet" },
  },
}
