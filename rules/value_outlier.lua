--- An amount far above what the chain, or its sender, usually moves.
---@type cw.Rule
return rule {
  id = "eth.value_outlier",  version = "1.2.0",  severity = "low",  status = "stable",
  title = "Amount far above the usual",
  description = "The value is many robust standard deviations (median and spread of logarithms) above the past of the "
    .. "chain, or above the past of its own sender (mean and deviation of logarithms) once that is known. Logarithms, "
    .. "because amounts span many decades; median and spread, because a few whales must not hide the next one. Large next to the "
    .. "chain are exchanges and funds every day: low. Large next to its own past is medium, and far above it high, unless the sender "
    .. "does nothing but send (a high nonce).",
  references = { "B. Iglewicz, D. Hoaglin, How to Detect and Handle Outliers, 1993: the modified z-score" },
  false_positives = { "transfers between the wallets of one exchange or custodian: put the sender on a list" },
  tags = { "amount" },
  params = {
    chain_score = 3.8,       -- deviations above the chain's median
    sender_score = 6,        -- deviations above the sender's own mean
    sender_spread = 0.7,     -- least deviation of a sender that is assumed, of the natural logarithm
    sender_past = 20,        -- amounts of a sender that must be known before his own past counts
    min_ether = 100,         -- below this an outlier is of no interest
    high_ether = 1000,       -- from this on, far above the sender's own past, the severity is high
    established = 5000,      -- from this nonce on the sender is a service: never more than low
    least_past = 0.001,      -- ether; smaller amounts say nothing about what is usual
    known = "exchange,custodian,bridge,mev_builder",
  },
  cooldown = "1d",
  when = function(p) return { min_ether = p.least_past } end,
  state = function(p)
    return {
      chain = stat.robust { of = "value", min = p.least_past * 1e18, warm = 500, min_spread = 1 },
      sender = stat.welford { key = "from", warm = p.sender_past },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local chain, sender = s.chain:add(tx) or 0, 0
    if tx.ether >= p.min_ether and (s.sender:count(tx) or 0) >= p.sender_past then
      sender = (math.log(tx.value) - s.sender:mean(tx)) / math.max(s.sender:sd(tx), p.sender_spread)
    end
    s.sender:add(tx, math.log(tx.value))
    if tx.ether < p.min_ether then return end
    local own = tx.nonce < p.established and sender / p.sender_score or 0
    local excess = math.max(chain / p.chain_score, own)
    if excess < 1 or s.service:has(tx, "from") then return end
    local median = s.chain:median(tx)
    return alert {
      score = own < 1 and 0.3 - 0.15 / excess or 1 - 0.5 / excess,
      severity = own >= 1.5 and tx.ether >= p.high_ether and "high" or own >= 1 and "medium" or nil,
      dedup = tx.from,
      explain = {
        ether = tx.ether, chain_score = chain, sender_score = sender, chain_limit = p.chain_score,
        sender_limit = p.sender_score, chain_median_ether = median and median / 1e18, sender = tx.from,
      },
    }
  end,
  tests = {
    { name = "quiet while the past is unknown", given = { txs { n = 100, from = each, ether = 1 }, tx { ether = 1e6 } },
      expect = "quiet" },
    { name = "fires far above the chain",
      given = { txs { n = 600, from = each, ether = { 0.02, 0.1, 0.3, 1, 2, 0.05 } }, tx { from = Z, ether = 50000 } },
      expect = { alerts = 1, first = 601, dedup = Z, severity = "low" } },
    { name = "quiet inside the chain's spread",
      given = { txs { n = 600, from = each, ether = { 0.02, 0.1, 0.3, 1, 2, 0.05 } }, tx { from = Z, ether = 90 } },
      expect = "quiet" },
    { name = "fires far above the sender's own past",
      given = { txs { n = 600, from = each, ether = { 0.001, 1, 100, 10, 0.01 } },
                txs { n = 40, from = C, ether = { 0.5, 0.6, 0.4 } }, tx { from = C, ether = 400 } },
      expect = { alerts = 1, first = 641, dedup = C, severity = "medium" } },
    { name = "is high far above it, with much money",
      given = { txs { n = 600, from = each, ether = { 0.001, 1, 100, 10, 0.01 } },
                txs { n = 40, from = C, ether = { 0.5, 0.6, 0.4 } }, tx { from = C, ether = 9000 } },
      expect = { alerts = 1, first = 641, dedup = C, severity = "high" } },
    { name = "quiet for a service's own past",
      given = { txs { n = 600, from = each, ether = { 0.001, 1, 100, 10, 0.01 } },
                txs { n = 40, from = C, ether = { 0.5, 0.6, 0.4 }, nonce = 90000 }, tx { from = C, ether = 400, nonce = 90000 } },
      expect = "quiet" },
    { name = "quiet for an exchange", lists = { [Z] = "exchange" },
      given = { txs { n = 600, from = each, ether = { 0.02, 0.1, 0.3, 1, 2 } }, tx { from = Z, ether = 50000 } },
      expect = "quiet" },
  },
}
