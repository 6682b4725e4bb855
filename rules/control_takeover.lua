--- Owner, roles, code: several of them change at one contract within an hour.
---@type cw.Rule
return rule {
  id = "eth.control_takeover",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Several controls of a contract change at once",
  role = "victim",
  description = "Within an hour a contract gets another owner or role and other code or another administrator. Each is routine; together, "
    .. "and by an account with little history, they are how a stolen key is used before anybody can react: then it is high. Needs "
    .. "receipts.",
  references = {
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023: privileged access",
    "EIP-1967: Proxy Storage Slots, 2019",
  },
  false_positives = { "projects that are being set up: contracts younger than a day are left out where the engine saw their creation" },
  tags = { "control", "attack.exploitation" },
  params = {
    window = "1h",
    young = 50,              -- below this nonce the account has little history
  },
  when = {
    { logs = { "ownership_transferred", "role_granted", "upgraded", "admin_changed" } }, { kind = "creation" },
  },
  state = function(p)
    return {
      owner = window.count { key = "log_address", span = p.window, max_keys = 10000 },
      code = window.count { key = "log_address", span = p.window, max_keys = 10000 },
      made = key.first_seen { key = "created", max_keys = 50000 },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.is_creation then
      s.made:add(tx)
      return
    end
    local contract, owners, codes
    for _, log in tx.logs() do
      local kind = log.kind
      local who, what = kind == "ownership_transferred" or kind == "role_granted", kind == "upgraded" or kind == "admin_changed"
      if (who or what) and (s.made:age(tx, "log_address") or 1 / 0) > 86400 then
        if who then s.owner:add(tx) else s.code:add(tx) end
        local a, b = s.owner:get(tx) or 0, s.code:get(tx) or 0
        if a > 0 and b > 0 then contract, owners, codes = log.address, a, b end
      end
    end
    if contract == nil then return end
    local young = tx.nonce < p.young
    return alert {
      score = young and 0.8 or 0.5,
      severity = young and "high" or nil,
      dedup = contract,
      explain = { contract = contract, owner_changes = owners, code_changes = codes, window = p.window, nonce = tx.nonce, sender = tx.from },
    }
  end,
  tests = {
    { name = "is high by a young account",
      given = { tx { from = Z, to = X, nonce = 1, ether = 0, selector = "0xf2fde38b", logs = {
                  { kind = "ownership_transferred", address = X, from = A, to = Z } } },
                tx { from = Z, to = X, nonce = 2, ether = 0, selector = "0x3659cfe6", after = "10m", logs = { { kind = "upgraded", address = X, to = C } } } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = X } },
    { name = "is medium by an old one",
      given = { tx { from = Z, to = X, nonce = 900, logs = { { kind = "role_granted", address = X, from = A, to = Z } } },
                tx { from = Z, to = X, nonce = 901, after = "10m", logs = { { kind = "upgraded", address = X, to = C } } } },
      expect = { alerts = 1, severity = "medium" } },
    { name = "quiet for one kind", given = txs { n = 5, from = Z, to = X, nonce = 1, logs = { { kind = "upgraded", address = X, to = C } } },
      expect = "quiet" },
    { name = "quiet for two contracts",
      given = { tx { from = Z, to = X, nonce = 1, logs = { { kind = "role_granted", address = X, from = A, to = Z } } },
                tx { from = Z, to = Y, nonce = 2, logs = { { kind = "upgraded", address = Y, to = C } } } }, expect = "quiet" },
    { name = "quiet for a new contract",
      given = { tx { from = Z, creation = true, created = X },
                tx { from = Z, to = X, nonce = 1, logs = { { kind = "role_granted", address = X, from = A, to = Z },
                  { kind = "upgraded", address = X, to = C } } } },
      expect = "quiet" },
  },
}
