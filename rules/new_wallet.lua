--- A wallet that is new, or has slept for months, moves a large amount.
---@type cw.Rule
return rule {
  id = "eth.new_wallet",  version = "1.1.0",  severity = "low",  status = "stable",
  title = "New or dormant wallet moves a large amount",
  description = "One of the first transactions of an address (its nonce says so, whatever the engine has seen), or the "
    .. "first after months, moves a large amount. Savings do that too, so it is low. Worse when a new address was itself paid only "
    .. "minutes ago: a wallet made to pass funds on. Into a known exchange it stays low: new deposit addresses are swept there.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: new accounts",
  },
  false_positives = { "cold wallets that are opened once, new deposit addresses of exchanges that are swept" },
  tags = { "aml.pass_through", "account.new", "account.dormant" },
  params = {
    high_ether = 1000,       -- the same with so much: high
    max_nonce = 2,           -- the first three transactions of an address
    dormant = "90d",         -- without a transaction for so long
    min_ether = 50,
    fresh = "1h",            -- paid for the first time no longer ago than this: medium
    known = "exchange,custodian,bridge",
  },
  state = function(p)
    return {
      paid = key.first_seen { key = "to", max_keys = 500000 },
      sent = key.first_seen { key = "from", max_keys = 500000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.value > 0 then s.paid:add(tx) end
    local idle = tx.ether >= p.min_ether and s.sent:idle(tx) or 0
    s.sent:add(tx)
    if tx.ether < p.min_ether or s.service:has(tx, "from") then return end
    local dormant = idle >= seconds(p.dormant)
    if tx.nonce > p.max_nonce and not dormant then return end
    local age = s.paid:age(tx, "from")
    local fresh = not dormant and age ~= nil and age <= seconds(p.fresh)
    local swept = s.service:has(tx, "to")
    return alert {
      score = math.min(0.1 + 0.1 * math.log10(tx.ether / p.min_ether), 0.3) + (fresh and not swept and 0.4 or 0),
      severity = fresh and not swept and (tx.ether >= p.high_ether and "high" or "medium") or nil,
      dedup = tx.from,
      explain = {
        ether = tx.ether, limit_ether = p.min_ether, nonce = tx.nonce, seconds_since_first_paid = age,
        seconds_idle = dormant and idle or nil, into_service = swept, sender = tx.from,
      },
    }
  end,
  tests = {
    { name = "fires for a first large transfer", given = tx { from = A, nonce = 0, ether = 60 },
      expect = { alerts = 1, severity = "low", dedup = A } },
    { name = "is medium when the wallet was just paid",
      given = { tx { from = B, to = A, nonce = 900, ether = 60 },
                tx { from = A, to = C, nonce = 0, ether = 59, after = "5m" } },
      expect = { alerts = 1, first = 2, severity = "medium", dedup = A } },
    { name = "is high with much money",
      given = { tx { from = B, to = A, nonce = 900, ether = 6000 },
                tx { from = A, to = C, nonce = 0, ether = 5900, after = "5m" } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = A } },
    { name = "is low when it was paid long ago",
      given = { tx { from = B, to = A, nonce = 900, ether = 60 },
                tx { from = A, to = C, nonce = 0, ether = 59, after = "2d" } },
      expect = { alerts = 1, first = 2, severity = "low" } },
    { name = "quiet for a small amount", given = tx { from = A, nonce = 0, ether = 1 }, expect = "quiet" },
    { name = "quiet for an old wallet", given = tx { from = A, nonce = 300, ether = 5000 }, expect = "quiet" },
    { name = "fires for a wallet that slept",
      given = { tx { from = A, nonce = 300, ether = 0.1 }, tx { from = A, nonce = 301, ether = 700, after = "100d" } },
      expect = { alerts = 1, first = 2, severity = "low", dedup = A } },
    { name = "quiet for a wallet that was awake",
      given = { tx { from = A, nonce = 300, ether = 0.1 }, tx { from = A, nonce = 301, ether = 700, after = "20d" } },
      expect = "quiet" },
    { name = "is low into an exchange", lists = { [B] = "exchange" },
      given = tx { from = A, to = B, nonce = 0, ether = 500 },
      expect = { alerts = 1, severity = "low", max_score = 0.3 } },
    { name = "quiet for an exchange's own wallet", lists = { [A] = "exchange" },
      given = tx { from = A, nonce = 0, ether = 500 }, expect = "quiet" },
  },
}
