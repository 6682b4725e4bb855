--- Token transfers of nothing in the name of others: address poisoning.
---@type cw.Rule
local ZERO = "0x" .. ("0"):rep(64)

return rule {
  id = "eth.poison_zero_value",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Zero-value transfers in the name of others",
  role = "actor",
  description = "Anybody may move zero tokens out of anybody's account. The transfer then stands in the victim's history, with an "
    .. "address that looks like one the victim pays, and waits to be copied. Found in call data (transferFrom of zero, not by "
    .. "the owner) and, where receipts are known, as three or more such events in one transaction.",
  references = {
    "T. Tsuchiya et al., Blockchain Address Poisoning, USENIX Security 2025",
    "Forta Network, Starter Kits: address poisoning",
  },
  false_positives = { "contracts that settle many orders and move nothing for some of them" },
  tags = { "fraud.address_poisoning" },
  params = {
    events = 3,              -- zero-value transfers of others in one transaction
  },
  when = { { selector = "0x23b872dd" }, { logs = "transfer", min_nlogs = 3 } },
  state = function() return { victims = window.distinct { key = "from", of = "arg1", span = "1d", max_keys = 10000 } } end,
  evaluate = function(tx, s, p)
    local n, victim, mimic = 0, nil, nil
    for _, log in tx.logs("transfer") do
      if log.amount == 0 and log.from ~= tx.from and log.from ~= tx.to then
        n, victim, mimic = n + 1, log.from, log.to
      end
    end
    local direct = tx.selector == "0x23b872dd" and tx.word3 == ZERO and tx.arg1 ~= nil and tx.arg1 ~= tx.from
    if n < p.events and not direct then return end
    local victims = direct and (s.victims:add(tx) or 1) or n
    return alert {
      score = math.min(0.5 + 0.03 * victims, 0.9),
      dedup = tx.from,
      explain = { victims = victims, victim = direct and tx.arg1 or victim, imitation = direct and tx.arg2 or mimic,
                  events = n, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for a call", given = tx { from = Z, ether = 0, selector = "0x23b872dd", arg1 = A, arg2 = C, arg3 = 0 },
      expect = { alerts = 1, severity = "medium", dedup = Z } },
    { name = "fires for a batch", given = tx { from = Z, to = Y, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", from = A, to = C, amount = 0 }, { kind = "transfer", from = B, to = D, amount = 0 },
        { kind = "transfer", from = E, to = F, amount = 0 } } }, expect = { alerts = 1, dedup = Z } },
    { name = "quiet for one's own tokens", given = tx { from = A, ether = 0, selector = "0x23b872dd", arg1 = A, arg2 = C, arg3 = 0 },
      expect = "quiet" },
    { name = "quiet for an amount", given = tx { from = Z, ether = 0, selector = "0x23b872dd", arg1 = A, arg2 = C, arg3 = 5 },
      expect = "quiet" },
    { name = "quiet for two events", given = tx { from = Z, to = Y, logs = { { kind = "transfer", from = A, to = C, amount = 0 },
        { kind = "transfer", from = B, to = D, amount = 0 }, { kind = "transfer", from = B, to = D, amount = 9 } } },
      expect = "quiet" },
  },
}
