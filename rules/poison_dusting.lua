--- Dust sent to many.
---@type cw.Rule
return rule {
  id = "eth.dusting",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Dust sent to many addresses",
  role = "actor",
  description = "One address sends amounts that are worth less than their fee to many others: bait for address poisoning, marks "
    .. "to see whose wallets belong together, or messages in the call that comes next.",
  references = {
    "T. Tsuchiya et al., Blockchain Address Poisoning, USENIX Security 2025",
  },
  false_positives = { "faucets of test tokens, tests of payment systems" },
  tags = { "fraud.dusting" },
  params = {
    receivers = 50,
    window = "1h",
    dust_ether = 0.0005,
    known = "exchange,faucet,payment",
  },
  when = function(p) return { kind = "transfer", min_value = 1, max_ether = p.dust_ether } end,
  state = function(p)
    return {
      seen = window.distinct { key = "from", of = "to", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.seen:add(tx)
    if n == nil or n < p.receivers or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.3 + n / (20 * p.receivers), 0.7),
      dedup = tx.from,
      explain = { receivers = n, limit = p.receivers, ether_each = tx.ether, window = p.window, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires at fifty", given = txs { n = 51, from = A, to = each, ether = 0.00001, every = "10s" },
      expect = { alerts = 2, first = 50, severity = "low", dedup = A } },
    { name = "quiet for payments", given = txs { n = 80, from = A, to = each, ether = 0.01 }, expect = "quiet" },
    { name = "quiet for one receiver", given = txs { n = 80, from = A, to = B, ether = 0.00001 }, expect = "quiet" },
    { name = "quiet for nothing at all", given = txs { n = 80, from = A, to = each, ether = 0 }, expect = "quiet" },
  },
}
