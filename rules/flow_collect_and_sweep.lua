--- Many pay one address, which then sends the whole on.
---@type cw.Rule
local FROM = 4    -- payers, from which on amounts are added up: most addresses never have so many

return rule {
  id = "eth.collect_and_sweep",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Collected from many, then swept",
  description = "An address that has not sent much before is paid by many within a day or so and then sends the larger part "
    .. "of it on at once. Phishing pages and fraudulent sales end in this way; so does the pooling of structured "
    .. "amounts.",
  references = {
    "FinCEN, Proposal of Special Measure Regarding Convertible Virtual Currency Mixing, 88 FR 72701, 2023: pooling",
    "W. Chen et al., Phishing Scam Detection on Ethereum: Towards Financial Security for Blockchain Ecosystem, IJCAI "
      .. "2020",
  },
  false_positives = { "small shops and collections; deposit addresses of exchanges: put the collecting wallet on a list" },
  tags = { "aml.collection", "fraud.phishing" },
  params = {
    senders = 8,
    window = "36h",
    share = 0.7,             -- of what came in within the window
    min_ether = 1,           -- that is sent on
    least = 0.2,             -- ether; smaller payments do not count
    established = 500,       -- from this nonce on the address is a service
    known = "exchange,custodian,bridge,payment,mining_pool",
  },
  when = function(p) return { kind = "transfer", min_ether = p.least } end,
  state = function(p)
    return {
      payers = window.distinct { key = "to", of = "from", span = p.window, max_keys = 30000 },
      sum = window.sum { key = "to", of = "value", span = p.window, max_keys = 30000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = tx.ether >= p.min_ether and tx.nonce < p.established and s.payers:get(tx, "from") or 0
    local sum = n >= p.senders and (s.sum:get(tx, "from") or 0) * n / (n - FROM + 1) or 0     -- the first are like the rest
    if (s.payers:add(tx) or 0) >= FROM then s.sum:add(tx) end
    if n < p.senders or tx.value < p.share * sum then return end
    if s.service:has(tx, "from") or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.4 + n / (20 * p.senders) + 0.1 * math.log10(1 + tx.ether), 0.9),
      dedup = tx.from,
      explain = {
        senders = n, limit = p.senders, ether_in = sum / 1e18, ether_out = tx.ether, window = p.window,
        receiver = tx.to,
      },
    }
  end,
  tests = {
    { name = "fires when all is sent on",
      given = { txs { n = 12, from = each, to = B, ether = 0.5, every = "10m" }, tx { from = B, to = C, ether = 5.9, nonce = 0 } },
      expect = { alerts = 1, first = 13, severity = "medium", dedup = B } },
    { name = "quiet when most of it stays",
      given = { txs { n = 12, from = each, to = B, ether = 0.5 }, tx { from = B, to = C, ether = 2, nonce = 0 } },
      expect = "quiet" },
    { name = "quiet for few payers",
      given = { txs { n = 12, from = { D, E }, to = B, ether = 0.5 }, tx { from = B, to = C, ether = 5.9, nonce = 0 } },
      expect = "quiet" },
    { name = "quiet for a service",
      given = { txs { n = 12, from = each, to = B, ether = 0.5 }, tx { from = B, to = C, ether = 5.9, nonce = 9000 } },
      expect = "quiet" },
    { name = "quiet into an exchange", lists = { [C] = "exchange" },
      given = { txs { n = 12, from = each, to = B, ether = 0.5 }, tx { from = B, to = C, ether = 5.9, nonce = 0 } },
      expect = "quiet" },
  },
}
