--- A multisig changes itself: owners, threshold, modules.
---@type cw.Rule
return rule {
  id = "eth.multisig_change",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Multisig changes its own rules",
  role = "counterparty",
  description = "A Safe executes a transaction to itself: that is how owners are added and removed, the threshold is set and modules are "
    .. "enabled. Nothing else is done in this way. Several within an hour are medium: who takes a wallet over begins with this.",
  references = {
    "NethermindEth, Forta Agents: Gnosis Safe admin changes",
    "Safe Smart Account: execTransaction and OwnerManager",
  },
  false_positives = { "teams in which people come and go" },
  tags = { "control", "multisig" },
  params = {
    many = 2,
    window = "1h",
  },
  when = { selector = "0x6a761202" },
  state = function(p) return { count = window.count { key = "to", span = p.window, max_keys = 10000 } } end,
  evaluate = function(tx, s, p)
    if tx.arg1 == nil or tx.arg1 ~= tx.to or tx.status == 0 then return end
    local n = s.count:add(tx) or 1
    return alert {
      score = n >= p.many and 0.6 or 0.4,
      severity = n >= p.many and "medium" or nil,
      dedup = tx.to,
      explain = { wallet = tx.to, changes = n, window = p.window, executed_by = tx.from },
    }
  end,
  tests = {
    { name = "fires for a call to itself", given = tx { from = A, to = X, ether = 0, selector = "0x6a761202", arg1 = X, arg2 = 0 },
      expect = { alerts = 1, severity = "low", dedup = X } },
    { name = "is medium for the second in an hour", given = txs { n = 3, from = A, to = X, selector = "0x6a761202", arg1 = X, every = "5m" },
      expect = { alerts = 3, severity = "low" } },
    { name = "quiet for payments", given = tx { from = A, to = X, selector = "0x6a761202", arg1 = B, arg2 = 5 }, expect = "quiet" },
    { name = "quiet when it failed", given = tx { from = A, to = X, selector = "0x6a761202", arg1 = X, status = 0 }, expect = "quiet" },
  },
}
