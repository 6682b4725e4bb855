--- Unlimited rights for a contract that is hours old.
---@type cw.Rule
return rule {
  id = "eth.approval_to_new_contract",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Unlimited approval for a new contract",
  role = "actor",
  description = "An owner gives a contract that was created less than a day ago the right to all of a token. Contracts of drainers "
    .. "live for hours; those people trust have been there for longer. Needs receipts, which name the created contract.",
  references = {
    "EIP-20: Token Standard, 2015: allowances",
    "Microsoft 365 Defender Research, Ice Phishing on the Blockchain, 2022",
  },
  false_positives = { "users of a product on its first day" },
  tags = { "fraud.approval_phishing", "contract.new" },
  params = {
    young = "1d",
    known = "exchange,router,bridge,marketplace",
  },
  when = { { kind = "creation" }, { selector = { "0x095ea7b3", "0xa22cb465", "0x39509351" } } },
  state = function(p)
    return {
      made = key.first_seen { key = "created", max_keys = 50000 },
      owners = window.distinct { key = "arg1", of = "from", span = "1d", max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.is_creation then
      if tx.status ~= 0 then s.made:add(tx) end
      return
    end
    local age = s.made:age(tx, "arg1")
    if age == nil or age > seconds(p.young) or s.service:has(tx, "arg1") then return end
    local all = tx.selector == "0xa22cb465" and tx.word2 ~= "0x" .. ("0"):rep(64) or (tx.word2 or "0x0"):sub(3, 3) >= "8"
    if not all then return end
    local n = s.owners:add(tx) or 1
    return alert {
      score = math.min(0.4 + 0.05 * n, 0.9),
      severity = n >= 10 and "high" or nil,
      dedup = tx.arg1,
      explain = { spender = tx.arg1, hours_old = age / 3600, owners = n, token = tx.to, owner = tx.from },
    }
  end,
  tests = {
    { name = "fires for a contract of this hour",
      given = { tx { from = Z, creation = true, created = X, ether = 0 },
                tx { from = A, to = T, ether = 0, selector = "0x095ea7b3", arg1 = X, arg2 = "0x" .. ("f"):rep(64), after = "1h" } },
      expect = { alerts = 1, first = 2, severity = "medium", dedup = X } },
    { name = "quiet for a limited amount",
      given = { tx { from = Z, creation = true, created = X },
                tx { from = A, to = T, selector = "0x095ea7b3", arg1 = X, arg2 = 1000 } }, expect = "quiet" },
    { name = "quiet for a contract of last week",
      given = { tx { from = Z, creation = true, created = X },
                tx { from = A, to = T, selector = "0xa22cb465", arg1 = X, arg2 = 1, after = "7d" } }, expect = "quiet" },
    { name = "quiet without receipts", given = { tx { from = Z, creation = true },
                tx { from = A, to = T, selector = "0xa22cb465", arg1 = X, arg2 = 1 } }, expect = "quiet" },
  },
}
