--- Who owns a contract, or may do what in it, changes.
---@type cw.Rule
local NOBODY = "0x0000000000000000000000000000000000000000"

return rule {
  id = "eth.ownership_change",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Owner or role of a contract changes",
  role = "counterparty",
  description = "A contract gets another owner, or an account is given or loses a role. Routine for most, and the first thing that "
    .. "happens after a key was stolen for some: have the alerts of the contracts that matter to you raised by a label. Giving "
    .. "ownership up for good, and the first owner of a new contract, are left out.",
  references = {
    "NethermindEth, Forta Agents: ownership transfer",
    "OpenZeppelin Contracts, Access Control: Ownable and AccessControl events",
  },
  false_positives = { "every new project in its first days" },
  tags = { "control" },
  params = {
    calls = { "0xf2fde38b", "0x13af4035", "0xa6f9dae1", "0x2f2ff15d", "0xd547741f", "0x79ba5097" },
  },
  when = function(p)
    return { { logs = { "ownership_transferred", "role_granted", "role_revoked" } }, { selector = p.calls } }
  end,
  state = function() return { changes = window.count { key = "to", span = "1d", max_keys = 10000 } } end,
  evaluate = function(tx, s)
    if tx.status == 0 or tx.is_creation then return end
    local what, contract, before, after
    for _, log in tx.logs() do
      local kind = log.kind
      if kind == "ownership_transferred" and log.from ~= NOBODY and log.to ~= NOBODY then
        what, contract, before, after = "owner", log.address, log.from, log.to
        break
      elseif kind == "role_granted" and what == nil then
        what, contract, before, after = "role granted", log.address, log.from, log.to
      elseif kind == "role_revoked" and what == nil then
        what, contract, before, after = "role revoked", log.address, log.from, log.to
      end
    end
    if what == nil then
      if tx.nlogs > 0 then return end
      what, contract, before = "called", tx.to, tx.from
      after = (tx.selector == "0x2f2ff15d" or tx.selector == "0xd547741f") and tx.arg2 or tx.arg1
      if after == NOBODY then return end
    end
    local n = s.changes:add(tx) or 1
    return alert {
      score = math.min(0.3 + 0.05 * n, 0.7),
      dedup = contract,
      explain = { what = what, contract = contract, before = before, after = after, selector = tx.selector, changes_today = n },
    }
  end,
  tests = {
    { name = "fires for the event", given = tx { from = A, to = X, ether = 0, selector = "0xf2fde38b", arg1 = B, logs = {
        { kind = "ownership_transferred", address = X, from = A, to = B } } },
      expect = { alerts = 1, severity = "low", dedup = X } },
    { name = "fires for the call where there are no receipts", given = tx { from = A, to = X, ether = 0, selector = "0xf2fde38b", arg1 = B },
      expect = { alerts = 1, dedup = X } },
    { name = "fires for a role", given = tx { from = A, to = Y, ether = 0, selector = "0x12345678", logs = {
        { kind = "role_granted", address = X, from = A, to = B } } }, expect = { alerts = 1, dedup = X } },
    { name = "quiet for a first owner", given = tx { from = A, to = X, selector = "0x12345678", logs = {
        { kind = "ownership_transferred", address = X, from = "0x0000000000000000000000000000000000000000", to = B } } }, expect = "quiet" },
    { name = "quiet when it failed", given = tx { from = A, to = X, selector = "0xf2fde38b", arg1 = B, status = 0 }, expect = "quiet" },
    { name = "quiet for creations", given = tx { from = A, creation = true, selector = "0xf2fde38b" }, expect = "quiet" },
  },
}
