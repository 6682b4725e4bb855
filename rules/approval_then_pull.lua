--- A person who was given rights to tokens takes them.
---@type cw.Rule
return rule {
  id = "eth.approve_then_pull",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Tokens pulled by a person who was just approved",
  role = "actor",
  description = "An owner approves an address, and soon after that very address sends a transaction that moves the owner's tokens "
    .. "to somebody else. Contracts do so for their users, but a contract sends no transactions: the spender here is a person "
    .. "with a key. That is how stolen signatures are cashed.",
  references = {
    "Microsoft 365 Defender Research, Ice Phishing on the Blockchain, 2022",
    "Chainalysis, Targeted Approval Phishing Scams, 2023",
  },
  false_positives = { "two wallets of one owner; escrow agents and companies that collect by agreement" },
  tags = { "fraud.approval_phishing", "theft" },
  params = {
    window = "7d",           -- from the approval to the pull
  },
  when = { selector = { "0x095ea7b3", "0x39509351", "0xa22cb465", "0x23b872dd", "0x42842e0e" } },
  state = function(p)
    return {
      spender = window.distinct { key = "arg1", of = "from", span = p.window, max_keys = 50000 },   -- owners that approved it
      owner = key.first_seen { key = "from", max_keys = 100000 },                                   -- gave rights
      pulled = window.distinct { key = "from", of = "arg1", span = p.window, max_keys = 20000 },
    }
  end,
  evaluate = function(tx, s, p)
    local selector = tx.selector
    if selector ~= "0x23b872dd" and selector ~= "0x42842e0e" then
      s.spender:add(tx)
      s.owner:add(tx)
      return
    end
    local owner = tx.arg1
    if owner == nil or owner == tx.from or tx.arg2 == owner or tx.word3 == "0x" .. ("0"):rep(64) then return end
    local owners, idle = s.spender:get(tx, "from") or 0, s.owner:idle(tx, "arg1")
    if owners == 0 or idle == nil or idle > seconds(p.window) then return end
    local n = s.pulled:add(tx) or 1
    return alert {
      score = math.min(0.7 + 0.05 * n, 1),
      severity = n == 1 and owners == 1 and "medium" or nil,
      dedup = tx.from,
      explain = { spender = tx.from, owner = owner, receiver = tx.arg2, token = tx.to, owners_that_approved = owners,
                  owners_robbed = n, seconds_since_approval = idle },
    }
  end,
  tests = {
    { name = "is high for two victims",
      given = { txs { n = 2, from = { A, B }, to = T, ether = 0, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
                txs { n = 2, from = Z, to = T, ether = 0, selector = "0x23b872dd", arg1 = { A, B }, arg2 = Y, arg3 = 900, after = "1h" } },
      expect = { alerts = 2, first = 3, severity = "high", dedup = Z } },
    { name = "is medium for one",
      given = { tx { from = A, to = T, ether = 0, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
                tx { from = Z, to = T, ether = 0, selector = "0x23b872dd", arg1 = A, arg2 = Z, arg3 = 900 } },
      expect = { alerts = 1, first = 2, severity = "medium" } },
    { name = "quiet without an approval", given = tx { from = Z, to = T, selector = "0x23b872dd", arg1 = A, arg2 = Z, arg3 = 900 },
      expect = "quiet" },
    { name = "quiet for the owner's own transfer",
      given = { tx { from = A, to = T, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
                tx { from = A, to = T, selector = "0x23b872dd", arg1 = A, arg2 = Z, arg3 = 900 } }, expect = "quiet" },
    { name = "quiet after weeks",
      given = { tx { from = A, to = T, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
                tx { from = Z, to = T, selector = "0x23b872dd", arg1 = A, arg2 = Z, arg3 = 900, after = "30d" } }, expect = "quiet" },
  },
}
