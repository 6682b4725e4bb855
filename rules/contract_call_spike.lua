--- A contract is called many times more than in the hour before.
---@type cw.Rule
return rule {
  id = "eth.call_spike",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Rush on a contract",
  description = "A contract that had some calls in the last hour has many times as many in this one: a run for the exit, a mint, a bot "
    .. "that has found something. Hours are those of the clock.",
  references = { "Range, Alerting Catalogue: spike in contract calls" },
  false_positives = { "launches and campaigns" },
  tags = { "contract", "velocity" },
  params = {
    least = 150,             -- calls in this hour
    factor = 10,             -- times the hour before
    known = "exchange,stablecoin,router",
  },
  when = { kind = "call" },
  state = function(p)
    return {
      hours = window.tumbling { key = "to", span = "1h", max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.hours:add(tx)
    if n == nil or n < p.least then return end
    local before = s.hours:before_count(tx)
    if before < 3 or n < p.factor * before or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.2 + 0.01 * n / before, 0.6),
      dedup = tx.to,
      explain = { calls = n, hour_before = before, factor = n / before, limit = p.factor, contract = tx.to, selector = tx.selector },
    }
  end,
  tests = {
    { name = "fires at ten times the hour before",
      given = { txs { n = 5, from = each, to = X, ether = 0, selector = "0x1249c58b" },
                txs { n = 160, from = each, to = X, ether = 0, selector = "0x1249c58b", at = "1h", every = "5s" } },
      expect = { alerts = 11, first = 155, severity = "low", dedup = X } },
    { name = "quiet for a busy one",
      given = { txs { n = 60, from = each, to = X, selector = "0x1249c58b" },
                txs { n = 200, from = each, to = X, selector = "0x1249c58b", at = "1h", every = "5s" } }, expect = "quiet" },
    { name = "quiet for a new one", given = txs { n = 300, from = each, to = X, selector = "0x1249c58b" }, expect = "quiet" },
    { name = "quiet for transfers", given = { txs { n = 5, from = each, to = X }, txs { n = 300, from = each, to = X, at = "1h" } },
      expect = "quiet" },
  },
}
