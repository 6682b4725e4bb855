--- Money returns to where it came from through other addresses.
---@type cw.Rule
return rule {
  id = "eth.cycle",  version = "1.0.0",  severity = "medium",  status = "experimental",
  title = "Money that goes round in a circle",
  description = "A transfer closes a circle: its receiver paid, in the order of time and through one to four others, "
    .. "the sender who pays it now, and every one passed on nearly the whole amount. Wash trading and the pretence "
    .. "of turnover look like this. Addresses with many counterparties are services: no circle goes through them.",
  references = {
    "F. Victor, A. M. Weintraud, Detecting and Quantifying Wash Trading on Decentralized Cryptocurrency Exchanges, "
      .. "2021",
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: transaction patterns",
  },
  false_positives = {
    "wallets of one owner that lend to each other",
    "loans that are paid back through an intermediary",
  },
  tags = { "market.wash_trading", "aml.layering" },
  params = {
    window = "2d",           -- in which the circle must close
    least = 3,               -- transfers in it; 2 is a refund
    keep = 0.9,              -- share of the amount that each must have passed on
    min_ether = 1,
    hub = 16,                -- counterparties from which on an address is a service
    max_addresses = 50000,
    work = 2000,             -- edges looked at for each transaction
    pause = "6h",            -- before the same sender is reported again
    known = "exchange,custodian,bridge,payment,mining_pool,mev_builder",
  },
  when = function(p) return { min_ether = p.min_ether * 0.5 } end,
  state = function(p)
    return {
      graph = graph.transfers { labels = "", max_addresses = p.max_addresses, span = p.window, edges = 32, hub = p.hub,
                                keep = p.keep, work = p.work, min_value = p.min_ether * 0.5e18 },
      told = key.first_seen { key = "from", max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local receivers = s.graph:add(tx)
    if receivers == nil or tx.ether < p.min_ether then return end
    local n = s.graph:cycle(tx)
    if n == nil or n < p.least then return end
    if receivers > p.hub or (s.graph:fan_in(tx, "to") or 0) > p.hub then return end
    if s.service:has(tx, "from") or s.service:has(tx, "to") then return end
    if (s.told:idle(tx) or 1 / 0) < seconds(p.pause) then return end
    s.told:add(tx)
    return alert {
      score = 0.5 + 0.05 * n,
      dedup = tx.from,
      explain = { length = n, ether = tx.ether, window = p.window, sender = tx.from, receiver = tx.to },
    }
  end,
  tests = {
    { name = "fires when a circle of three closes",
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = C, ether = 9.9, after = "1h" },
                tx { from = C, to = A, ether = 9.8, after = "1h" } },
      expect = { alerts = 1, first = 3, severity = "medium", dedup = C } },
    { name = "fires for six",
      given = { tx { from = A, to = B, ether = 10 },
                tx { from = B, to = C, ether = 10 }, tx { from = C, to = D, ether = 10 },
                tx { from = D, to = E, ether = 10 }, tx { from = E, to = F, ether = 10 },
                tx { from = F, to = A, ether = 10 } },
      expect = { alerts = 1, first = 6 } },
    { name = "quiet for a refund",
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = A, ether = 10 } }, expect = "quiet" },
    { name = "quiet when too little is passed on",
      given = { tx { from = A, to = B, ether = 10 },
                tx { from = B, to = C, ether = 2 }, tx { from = C, to = A, ether = 10 } },
      expect = "quiet" },
    { name = "quiet against the order of time",
      given = { tx { from = B, to = C, ether = 10 },
                tx { from = A, to = B, ether = 10 }, tx { from = C, to = A, ether = 10 } },
      expect = "quiet" },
    { name = "quiet when it takes too long",
      given = { tx { from = A, to = B, ether = 10 }, tx { from = B, to = C, ether = 10, after = "1d" },
                tx { from = C, to = A, ether = 10, after = "2d" } },
      expect = "quiet" },
    { name = "quiet for small amounts",
      given = { tx { from = A, to = B, ether = 0.5 },
                tx { from = B, to = C, ether = 0.5 }, tx { from = C, to = A, ether = 0.5 } },
      expect = "quiet" },
    { name = "quiet through a service",
      given = { txs { n = 30, from = B, to = each, ether = 10 }, tx { from = A, to = B, ether = 10 },
                tx { from = B, to = C, ether = 10 }, tx { from = C, to = A, ether = 10 } },
      expect = "quiet" },
    { name = "quiet for an exchange", lists = { [C] = "exchange" },
      given = { tx { from = A, to = B, ether = 10 },
                tx { from = B, to = C, ether = 10 }, tx { from = C, to = A, ether = 10 } },
      expect = "quiet" },
  },
}
