--- One account creates contract after contract.
---@type cw.Rule
return rule {
  id = "eth.creation_burst",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Many contracts from one account",
  description = "One account creates many contracts within an hour: a factory of tokens that will be abandoned, of traps, or of fresh "
    .. "drainers. The first ones of a series often differ in nothing but a name.",
  references = {
    "P. Xia et al., Trade or Trick? Detecting and Characterizing Scam Tokens on Uniswap Decentralized Exchange, 2021",
  },
  false_positives = { "deployments of large projects, exchanges that make deposit contracts" },
  tags = { "contract.new", "fraud.token" },
  params = {
    contracts = 10,
    window = "1h",
    known = "exchange,custodian",
  },
  when = { kind = "creation" },
  state = function(p)
    return {
      count = window.count { key = "from", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.count:add(tx) or 0
    if n < p.contracts or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.2 + 0.02 * n, 0.7),
      dedup = tx.from,
      explain = { contracts = n, limit = p.contracts, window = p.window, bytes = tx.input_size, creator = tx.from },
    }
  end,
  tests = {
    { name = "fires at the tenth", given = txs { n = 11, from = A, creation = true, ether = 0, every = "1m" },
      expect = { alerts = 2, first = 10, severity = "low", dedup = A } },
    { name = "quiet when slow", given = txs { n = 30, from = A, creation = true, every = "20m" }, expect = "quiet" },
    { name = "quiet for many people", given = txs { n = 90, from = each, creation = true }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" }, given = txs { n = 30, from = A, creation = true }, expect = "quiet" },
  },
}
