--- An address that has not sent value for half a year pays somebody.
---@type cw.Rule
return rule {
  id = "eth.dormant_account",  version = "1.1.0",  severity = "low",  status = "stable",
  title = "Dormant account pays again",
  description = "The sender's last payment of an ether or more was half a year ago or longer. Keys of old wallets are found, stolen or "
    .. "sold; a wallet that wakes and pays in full deserves a look. `eth.new_wallet` looks at large amounts after a "
    .. "shorter sleep, this rule at small ones after a long one. Savings are spent every day, so it is low; two years and a "
    .. "large amount are medium.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: irregularities",
  },
  false_positives = { "savings that are spent; wallets that only call contracts in between" },
  tags = { "account.dormant", "account.takeover" },
  params = {
    dormant = "180d",
    min_ether = 5,
    long = "730d",           -- medium: so long,
    large_ether = 100,       -- and so much
    known = "exchange,custodian,bridge",
  },
  when = function(p) return { min_ether = 0.2 * p.min_ether } end,     -- smaller payments do not keep an account awake
  state = function(p)
    return {
      sent = key.first_seen { key = "from", max_keys = 200000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local idle = tx.ether >= p.min_ether and s.sent:idle(tx) or 0
    s.sent:add(tx)
    if idle < seconds(p.dormant) or s.service:has(tx, "from") then return end
    local long = idle >= seconds(p.long) and tx.ether >= p.large_ether
    return alert {
      score = math.min(0.1 + 0.05 * math.log10(tx.ether / p.min_ether) + 0.05 * idle / seconds("365d"), 0.3)
        + (long and 0.2 or 0),
      severity = long and "medium" or nil,
      dedup = tx.from,
      explain = { days_idle = math.floor(idle / 86400), ether = tx.ether, limit_ether = p.min_ether, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires after half a year", given = { tx { from = A }, tx { from = A, ether = 20, after = "200d" } },
      expect = { alerts = 1, first = 2, severity = "low", dedup = A } },
    { name = "is medium after years, with much money",
      given = { tx { from = A }, tx { from = A, ether = 900, after = "800d" } },
      expect = { alerts = 1, first = 2, severity = "medium" } },
    { name = "quiet after a month", given = { tx { from = A }, tx { from = A, ether = 20, after = "30d" } },
      expect = "quiet" },
    { name = "quiet for small change", given = { tx { from = A }, tx { from = A, ether = 1, after = "200d" } },
      expect = "quiet" },
    { name = "quiet for the first transfer there is", given = tx { from = A, ether = 500 }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange" },
      given = { tx { from = A }, tx { from = A, ether = 20, after = "200d" } }, expect = "quiet" },
  },
}
