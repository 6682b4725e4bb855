--- A token that claims transfers its owners never made.
---@type cw.Rule
return rule {
  id = "eth.poison_fake_token",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Token events in the name of many who did not act",
  role = "actor",
  description = "One transaction makes one contract claim transfers out of many different accounts, none of which sent it, and "
    .. "nothing else happens: no pool, no approval, no payment. Counterfeit tokens are written into the histories of victims "
    .. "in this way, next to real payments of the same amount.",
  references = {
    "T. Tsuchiya et al., Blockchain Address Poisoning, USENIX Security 2025: counterfeit tokens",
    "EIP-20: Token Standard, 2015",
  },
  false_positives = { "migrations and forced transfers by a token's issuer" },
  tags = { "fraud.address_poisoning", "fraud.token" },
  params = {
    owners = 5,
  },
  when = { logs = "transfer", min_nlogs = 5, max_value = 0 },
  evaluate = function(tx, _, p)
    local token, owners, seen = nil, 0, {}
    for _, log in tx.logs() do
      if log.kind ~= "transfer" or log.standard ~= "erc20" then return end
      token = token or log.address
      local from = log.from
      if log.address ~= token or from == tx.from or from == tx.to or log.amount == 0 then return end
      if not seen[from] then owners, seen[from] = owners + 1, true end
    end
    if owners < p.owners then return end
    return alert {
      score = math.min(0.5 + 0.02 * owners, 0.9),
      dedup = token,
      explain = { owners = owners, limit = p.owners, token = token, events = tx.logs_total, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for five owners", given = tx { from = Z, to = Y, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", standard = "erc20", from = A, to = C, amount = 5 },
        { kind = "transfer", standard = "erc20", from = B, to = D, amount = 5 },
        { kind = "transfer", standard = "erc20", from = E, to = F, amount = 5 },
        { kind = "transfer", standard = "erc20", from = G, to = H, amount = 5 },
        { kind = "transfer", standard = "erc20", from = I, to = J, amount = 5 } } },
      expect = { alerts = 1, severity = "medium", dedup = T } },
    { name = "quiet for an airdrop", given = tx { from = Z, to = Y, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", standard = "erc20", from = Z, to = C, amount = 5 },
        { kind = "transfer", standard = "erc20", from = Z, to = D, amount = 5 },
        { kind = "transfer", standard = "erc20", from = Z, to = F, amount = 5 },
        { kind = "transfer", standard = "erc20", from = Z, to = H, amount = 5 },
        { kind = "transfer", standard = "erc20", from = Z, to = J, amount = 5 } } }, expect = "quiet" },
    { name = "quiet without receipts", given = tx { from = Z, to = Y, selector = "0x12345678" }, expect = "quiet" },
  },
}
