--- Money leaves through several bridges within an hour.
---@type cw.Rule
return rule {
  id = "eth.chain_hopping",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Several bridges within an hour",
  description = "One sender uses two or more different bridges within an hour. Spreading funds over chains is how stolen money "
    .. "is kept away from whoever follows it on one of them.",
  references = {
    "Elliptic, The State of Cross-chain Crime, 2023: chain hopping",
    "FATF, Targeted Update on Implementation of the FATF Standards on Virtual Assets, 2022: cross-chain transfers",
  },
  false_positives = { "arbitrage between chains, aggregators that choose a route" },
  tags = { "bridge", "aml.layering" },
  params = {
    bridges = 2,
    window = "1h",
    min_ether = 0.5,
    high_ether = 100,        -- in the window
    known = "exchange,mev_bot,bridge",
  },
  when = function(p) return { to_listed = "bridge", min_ether = p.min_ether } end,
  state = function(p)
    return {
      used = window.distinct { key = "from", of = "to", span = p.window, max_keys = 20000 },
      sum = window.sum { key = "from", of = "value", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n, sum = s.used:add(tx) or 0, s.sum:add(tx) or 0
    if n < p.bridges or s.service:has(tx, "from") then return end
    sum = sum / 1e18
    return alert {
      score = math.min(0.4 + 0.1 * n + 0.05 * math.log10(1 + sum), 0.9),
      severity = sum >= p.high_ether and "high" or nil,
      dedup = tx.from,
      explain = { bridges = n, limit = p.bridges, ether = sum, window = p.window },
    }
  end,
  tests = {
    { name = "fires at the second bridge", lists = { [C] = "bridge", [D] = "bridge" },
      given = txs { n = 2, from = A, to = { C, D }, ether = 5, every = "5m" },
      expect = { alerts = 1, first = 2, severity = "medium", dedup = A } },
    { name = "is high for a fortune", lists = { [C] = "bridge", [D] = "bridge" },
      given = txs { n = 2, from = A, to = { C, D }, ether = 80, every = "5m" }, expect = { severity = "high" } },
    { name = "quiet for one bridge", lists = { [C] = "bridge" }, given = txs { n = 5, from = A, to = C, ether = 5 },
      expect = "quiet" },
    { name = "quiet over days", lists = { [C] = "bridge", [D] = "bridge" },
      given = txs { n = 4, from = A, to = { C, D }, ether = 5, every = "9h" }, expect = "quiet" },
  },
}
