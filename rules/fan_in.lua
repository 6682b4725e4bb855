--- Many senders pay one address within a short window.
---@type cw.Rule
return rule {
  id = "eth.fan_in",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Many senders paid one address",
  role = "actor",
  description = "Collection: one address is paid by dozens of senders within minutes, as when victims of a phishing "
    .. "campaign or a fraudulent sale pay, or when layered funds come together. Only plain transfers of value "
    .. "count; one alert for a receiver and pause.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: transaction patterns",
    "J. Wu et al., Who Are the Phishers? Phishing Scam Detection on Ethereum via Network Embedding, 2020",
  },
  false_positives = {
    "deposit wallets of exchanges, payment processors and token sales: put the receiver on a list with one of the "
      .. "categories in `known`",
  },
  tags = { "aml.collection", "fraud.phishing" },
  params = {
    window = "10m",          -- in which senders are counted
    senders = 25,            -- different ones, from this on it is an alert
    min_ether = 0.01,        -- smaller transfers do not count: dust
    pause = "6h",            -- before the same receiver is reported again
    known = "exchange,mining_pool,payment,bridge,mixer",
  },
  when = function(p) return { kind = "transfer", min_ether = p.min_ether } end,
  state = function(p)
    return {
      seen = window.distinct { key = "to", of = "from", span = p.window, max_keys = 30000 },
      told = key.first_seen { key = "to", max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.seen:add(tx)
    if n == nil or n < p.senders or s.service:has(tx, "to") then return end
    if (s.told:idle(tx) or 1 / 0) < seconds(p.pause) then return end
    s.told:add(tx)
    return alert {
      score = 0.4 + n / (8 * p.senders),
      dedup = tx.to,
      explain = { senders = n, limit = p.senders, window = p.window, receiver = tx.to },
    }
  end,
  tests = {
    { name = "quiet below the limit", given = txs { n = 24, from = each, to = A, every = "1s" }, expect = "quiet" },
    { name = "fires once at the limit", given = txs { n = 200, from = each, to = A, every = "1s" },
      expect = { alerts = 1, first = 25, severity = "medium", dedup = A } },
    { name = "quiet when slow", given = txs { n = 60, from = each, to = A, every = "1m" }, expect = "quiet" },
    { name = "quiet for one sender", given = txs { n = 100, from = B, to = A }, expect = "quiet" },
    { name = "quiet for creations", given = txs { n = 100, from = each, creation = true }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" }, given = txs { n = 100, from = each, to = A },
      expect = "quiet" },
  },
}
