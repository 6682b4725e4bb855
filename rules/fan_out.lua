--- Many receivers paid from one address within a short window.
---@type cw.Rule
local FROM = 5    -- receivers, from which on amounts are added up: most senders never have so many

return rule {
  id = "eth.fan_out",  version = "1.2.0",  severity = "high",  status = "stable",
  title = "Many receivers paid from one address",
  description = "Dispersal: one address pays dozens of receivers within minutes, as after a theft or when funds are "
    .. "split for layering. Only plain transfers of value count, so that calls of contracts do not; one alert for a "
    .. "sender and pause. Senders with thousands of transactions behind them are pools and services more often than "
    .. "thieves: medium. So are those who pay little to each.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: transaction patterns",
  },
  false_positives = {
    "exchanges, mining pools and payroll pay many at once: put the sender on a list with one of the categories in "
      .. "`known`",
  },
  tags = { "aml.layering", "aml.dispersal" },
  params = {
    window = "10m",          -- in which receivers are counted
    receivers = 25,          -- different ones, from this on it is an alert
    min_ether = 0.01,        -- smaller transfers do not count: dust
    established = 2000,      -- from this nonce on the sender pays people for a living: medium
    small_ether = 0.75,      -- paid to each on average, below this it is wages of a pool: medium
    pause = "6h",            -- before the same sender is reported again
    known = "exchange,mining_pool,payroll,mev_builder,bridge",
  },
  when = function(p) return { kind = "transfer", min_ether = p.min_ether } end,
  state = function(p)
    return {
      seen = window.distinct { key = "from", of = "to", span = p.window, max_keys = 30000 },
      paid = window.sum { key = "from", of = "value", span = p.window, max_keys = 5000 },
      times = window.count { key = "from", span = p.window, max_keys = 5000 },
      told = key.first_seen { key = "from", max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.seen:add(tx)
    local paid, times = 0, 1
    if n ~= nil and n >= FROM then paid, times = s.paid:add(tx) or 0, s.times:add(tx) or 1 end
    if n == nil or n < p.receivers or s.service:has(tx, "from") then return end
    if (s.told:idle(tx) or 1 / 0) < seconds(p.pause) then return end
    s.told:add(tx)
    local mean = paid / times / 1e18
    return alert {
      score = 0.5 + n / (8 * p.receivers),
      severity = (tx.nonce >= p.established or mean < p.small_ether) and "medium" or nil,
      dedup = tx.from,
      explain = { receivers = n, limit = p.receivers, window = p.window, mean_ether = mean, sender = tx.from },
    }
  end,
  tests = {
    { name = "quiet below the limit", given = txs { n = 24, from = A, to = each, every = "1s" }, expect = "quiet" },
    { name = "fires once at the limit", given = txs { n = 200, from = A, to = each, every = "1s" },
      expect = { alerts = 1, first = 25, severity = "high", dedup = A } },
    { name = "is medium for a sender with thousands of transactions", given = txs { n = 25, from = A, to = each, nonce = 90000 },
      expect = { alerts = 1, severity = "medium" } },
    { name = "is medium for wages", given = txs { n = 25, from = A, to = each, ether = { 0.1, 0.9, 0.3 } },
      expect = { alerts = 1, severity = "medium" } },
    { name = "reports again after the pause",
      given = { txs { n = 25, from = A, to = each }, txs { n = 25, from = A, to = each, after = "7h" } },
      expect = { alerts = 2 } },
    { name = "quiet when slow", given = txs { n = 60, from = A, to = each, every = "1m" }, expect = "quiet" },
    { name = "quiet for one receiver", given = txs { n = 100, from = A, to = B }, expect = "quiet" },
    { name = "quiet for calls", given = txs { n = 100, from = A, to = each, selector = "0xa9059cbb" },
      expect = "quiet" },
    { name = "quiet for dust", given = txs { n = 100, from = A, to = each, ether = 0.001 }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" }, given = txs { n = 100, from = A, to = each },
      expect = "quiet" },
  },
}
