--- Money that came from a listed address some transfers ago is moved on.
---@type cw.Rule
return rule {
  id = "eth.tainted_funds",  version = "1.0.0",  severity = "medium",  status = "experimental",
  title = "Funds that come from a listed address",
  description = "Neither side is listed, but a good part of the money is traced back, transfer by transfer and in "
    .. "proportion (haircut), to addresses listed as sanctioned, mixer, exploiter or phishing. The share is that of "
    .. "the amount that moves now; one alert for a sender and pause.",
  references = {
    "M. Moeser, R. Boehme, D. Breuker, Towards Risk Scoring of Bitcoin Transactions, 2014: haircut",
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: source of funds",
  },
  false_positives = {
    "what an address owned before the engine saw it counts for nothing, so shares of old wallets are too high",
    "customers of an exchange that took listed money: put its wallets on a list with one of the categories in `known`",
  },
  tags = { "aml.exposure", "aml.layering" },
  params = {
    labels = "sanctioned,mixer,exploiter,exploit_contract,service_hack,malicious,phishing",
    share = 0.2,             -- of the amount, from this on it is an alert
    high = 0.8,              -- from this on the severity is high
    min_ether = 1,           -- tainted ether that moves; less is dust
    max_addresses = 50000,  -- of the graph
    work = 2000,             -- edges looked at for the distance, which explains and does not decide
    pause = "6h",            -- before the same sender is reported again
    known = "exchange,custodian,bridge,payment,mining_pool",   -- senders whose customers' money is mixed
  },
  when = { min_ether = 0.2 },       -- what the graph keeps; smaller amounts carry no taint worth following
  state = function(p)
    return {
      graph = graph.transfers { labels = p.labels, max_addresses = p.max_addresses, span = "30d", hops = 6,
                                work = p.work, min_value = 2e17 },
      told = key.first_seen { key = "from", max_keys = 10000 },
      listed = list.contains { category = p.labels },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if s.graph:add(tx) == nil then return end
    local share = s.graph:taint(tx)
    if share < p.share or share * tx.ether < p.min_ether then return end
    if s.listed:has(tx, "from") or s.listed:has(tx, "to") or s.service:has(tx, "from") then return end
    if (s.told:idle(tx) or 1 / 0) < seconds(p.pause) then return end
    s.told:add(tx)
    local hops = s.graph:hops(tx, "from")
    return alert {
      score = 0.3 + 0.6 * share,
      severity = share >= p.high and "high" or nil,
      dedup = tx.from,
      explain = {
        share = share, limit = p.share, tainted_ether = share * tx.ether, ether = tx.ether,
        hops = hops and hops < 1 / 0 and hops or nil, category = s.graph:category(tx, "from"), sender = tx.from,
      },
    }
  end,
  tests = {
    { name = "fires when mixed money is passed on", lists = { [A] = "mixer" },
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = C, ether = 9, after = "5m" } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = B, min_score = 0.89 } },
    { name = "follows it over several transfers", lists = { [A] = "sanctioned" },
      given = { tx { from = A, to = B, ether = 10 },
                tx { from = B, to = C, ether = 9 }, tx { from = C, to = D, ether = 8 },
                tx { from = D, to = E, ether = 7 } },
      expect = { alerts = 3, first = 2 } },
    { name = "is medium for a share", lists = { [A] = "mixer" },
      given = { tx { from = A, to = B, ether = 4 },
                tx { from = C, to = B, ether = 6 }, tx { from = B, to = D, ether = 8 } },
      expect = { alerts = 1, first = 3, severity = "medium" } },
    { name = "reports a sender once in a while", lists = { [A] = "mixer" },
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 8, from = B, to = each, ether = 10 } },
      expect = { alerts = 1, first = 2 } },
    { name = "quiet below the share", lists = { [A] = "mixer" },
      given = { tx { from = A, to = B, ether = 10 },
                tx { from = C, to = B, ether = 90 }, tx { from = B, to = D, ether = 50 } },
      expect = "quiet" },
    { name = "quiet for dust", lists = { [A] = "mixer" },
      given = { tx { from = A, to = B, ether = 0.5 },
                tx { from = B, to = C, ether = 0.5 } }, expect = "quiet" },
    { name = "quiet where the listed address itself takes part", lists = { [A] = "mixer", [C] = "mixer" },
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = C, ether = 10 } }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "mixer", [B] = "exchange" },
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = C, ether = 10 } }, expect = "quiet" },
    { name = "quiet for strangers", given = txs { n = 50, from = { A, B, C }, to = { B, C, A }, ether = 10 },
      expect = "quiet" },
  },
}
