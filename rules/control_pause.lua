--- A contract is stopped, or started again.
---@type cw.Rule
return rule {
  id = "eth.emergency_pause",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Contract paused",
  role = "counterparty",
  description = "A contract is paused: somebody saw something. Whoever has money in it or pays through it wants to know within "
    .. "seconds. Starting again is low.",
  references = {
    "OpenZeppelin Contracts: Pausable",
    "Range, Alerting Catalogue: contract pause",
  },
  false_positives = { "maintenance; collections that open and close their sale in this way" },
  tags = { "control", "incident" },
  params = { calls = { "0x8456cb59", "0x3f4ba83a" } },   -- pause(), unpause()
  when = function(p) return { { logs = { "paused", "unpaused" } }, { selector = p.calls } } end,
  evaluate = function(tx)
    if tx.status == 0 or tx.is_creation then return end
    local stop, contract, who
    for _, log in tx.logs() do
      if log.kind == "paused" or log.kind == "unpaused" and not stop then
        stop, contract, who = log.kind == "paused", log.address, log.from
      end
    end
    if contract == nil then
      if tx.nlogs > 0 then return end
      stop, contract, who = tx.selector == "0x8456cb59", tx.to, tx.from
    end
    return alert {
      score = stop and 0.6 or 0.3,
      severity = not stop and "low" or nil,
      dedup = contract,
      explain = { contract = contract, paused = stop, by = who or tx.from, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for the event", given = tx { from = A, to = Y, ether = 0, selector = "0x12345678", logs = {
        { kind = "paused", address = X, from = A } } }, expect = { alerts = 1, severity = "medium", dedup = X } },
    { name = "is low when it starts again", given = tx { from = A, to = X, ether = 0, selector = "0x3f4ba83a", logs = {
        { kind = "unpaused", address = X, from = A } } }, expect = { alerts = 1, severity = "low" } },
    { name = "fires for the call where there are no receipts", given = tx { from = A, to = X, selector = "0x8456cb59" },
      expect = { alerts = 1, severity = "medium", dedup = X } },
    { name = "quiet for a pause that failed", given = tx { from = A, to = X, selector = "0x8456cb59", status = 0 }, expect = "quiet" },
    { name = "quiet for others", given = tx { from = A, to = X, selector = "0xa9059cbb" }, expect = "quiet" },
  },
}
