--- One address pays many new ones, which all pay the same address.
---@type cw.Rule
return rule {
  id = "eth.scatter_gather",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Scattered and gathered again",
  role = "actor",
  description = "Several addresses that were all first paid by the same sender, less than a day ago, now pay one receiver: "
    .. "money that was split and comes together again. The stations have no other purpose.",
  references = {
    "E. Altman et al., Realistic Synthetic Financial Transactions for Anti-Money Laundering Models, NeurIPS 2023: "
      .. "scatter-gather",
    "FinCEN, Proposal of Special Measure Regarding Convertible Virtual Currency Mixing, 88 FR 72701, 2023: single-use "
      .. "wallets",
  },
  false_positives = { "customers of one exchange that pay into another: put both on lists" },
  tags = { "aml.layering", "aml.scatter_gather" },
  params = {
    stations = 5,            -- addresses between, all new
    window = "24h",          -- from the first payment to a station to its own payment
    min_ether = 0.5,
    max_nonce = 3,           -- of a station
    known = "exchange,custodian,bridge,payment,mining_pool,mixer",
  },
  when = function(p) return { kind = "transfer", min_ether = p.min_ether } end,
  state = function(p)
    return {
      root = key.funder { max_keys = 50000, min_value = p.min_ether * 1e18 },
      roots = window.last { key = "to", n = 32, max_keys = 20000 },
      via = window.distinct { key = "to", of = "from", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local root = tx.nonce <= p.max_nonce and s.root:id(tx) or nil
    local payer = root and (s.root:age(tx) or 0) <= seconds(p.window) and s.root:payer(tx) or nil
    s.root:add(tx)
    if payer == nil or payer == tx.to then return end
    local n = (s.roots:equal(tx, root) or 0) + 1
    s.roots:add(tx, root)
    local via = s.via:add(tx) or 0
    if n < p.stations or via < p.stations or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.5 + 0.03 * n, 0.9),
      dedup = tx.to,
      explain = { stations = via, limit = p.stations, origin = payer, receiver = tx.to, ether = tx.ether, window = p.window },
    }
  end,
  tests = {
    { name = "fires at the fifth station",
      given = { txs { n = 6, from = A, to = { C, D, E, F, G, H }, ether = 2 },
                txs { n = 6, from = { C, D, E, F, G, H }, to = Z, ether = 1.9, nonce = 0, after = "1h" } },
      expect = { alerts = 2, first = 11, severity = "medium", dedup = Z } },
    { name = "quiet for stations of different origin",
      given = { txs { n = 6, from = each, to = { C, D, E, F, G, H }, ether = 2 },
                txs { n = 6, from = { C, D, E, F, G, H }, to = Z, ether = 1.9, nonce = 0 } },
      expect = "quiet" },
    { name = "quiet for one station", given = { tx { from = A, to = C, ether = 20 },
      txs { n = 9, from = C, to = Z, ether = 2, nonce = 1 } }, expect = "quiet" },
    { name = "quiet for old wallets",
      given = { txs { n = 6, from = A, to = { C, D, E, F, G, H }, ether = 2 },
                txs { n = 6, from = { C, D, E, F, G, H }, to = Z, ether = 1.9, nonce = 90 } },
      expect = "quiet" },
    { name = "quiet into an exchange", lists = { [Z] = "exchange" },
      given = { txs { n = 6, from = A, to = { C, D, E, F, G, H }, ether = 2 },
                txs { n = 6, from = { C, D, E, F, G, H }, to = Z, ether = 1.9, nonce = 0 } },
      expect = "quiet" },
  },
}
