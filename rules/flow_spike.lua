--- An address takes in many times more today than yesterday.
---@type cw.Rule
return rule {
  id = "eth.flow_spike",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Inflow far above the day before",
  description = "An address that was paid several times yesterday takes in many times that value today, and hundreds of ether "
    .. "at least: a fraudulent sale that catches on, a collection point, a contract that is being filled for an attack. "
    .. "Days begin at midnight UTC.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: size and frequency",
    "M. Bartoletti et al., Dissecting Ponzi Schemes on Ethereum, Future Generation Computer Systems 102, 2020: inflows",
  },
  false_positives = { "token sales, new pools and staking contracts on the day they open" },
  tags = { "amount", "velocity", "fraud.collection" },
  params = {
    factor = 10,             -- times the day before
    min_ether = 500,         -- today
    payments = 5,            -- yesterday, so that there is something to compare with
    known = "exchange,custodian,bridge,wrapper,staking,mining_pool",
  },
  when = { min_ether = 0.5 },
  state = function(p)
    return {
      days = window.tumbling { key = "to", of = "value", span = "1d", max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if s.days:add(tx) == nil then return end
    local sum = s.days:sum(tx) / 1e18
    if sum < p.min_ether or (s.days:before_count(tx) or 0) < p.payments then return end
    local before = s.days:before_sum(tx) / 1e18
    if sum < p.factor * before or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.3 + 0.02 * sum / before, 0.8),
      dedup = tx.to,
      explain = { ether_today = sum, ether_yesterday = before, factor = sum / before, limit = p.factor, receiver = tx.to },
    }
  end,
  tests = {
    { name = "fires at ten times yesterday",
      given = { txs { n = 6, to = B, ether = 5 }, txs { n = 7, from = each, to = B, ether = 90, after = "1d" } },
      expect = { alerts = 2, first = 12, severity = "medium", dedup = B } },
    { name = "quiet without a yesterday", given = txs { n = 50, from = each, to = B, ether = 90 }, expect = "quiet" },
    { name = "quiet for a steady flow",
      given = { txs { n = 10, to = B, ether = 90 }, txs { n = 20, from = each, to = B, ether = 90, after = "1d" } },
      expect = "quiet" },
    { name = "quiet for an exchange", lists = { [B] = "exchange" },
      given = { txs { n = 6, to = B, ether = 5 }, txs { n = 9, from = each, to = B, ether = 90, after = "1d" } },
      expect = "quiet" },
  },
}
