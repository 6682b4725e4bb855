--- The code behind a proxy, or its administrator, changes.
---@type cw.Rule
return rule {
  id = "eth.proxy_upgrade",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Proxy upgraded",
  role = "counterparty",
  description = "A proxy points to other code, or gets another administrator: from now on the contract does what somebody else wrote. "
    .. "Medium where the new code is hours old or the account that did it is young; both are so when keys were stolen.",
  references = {
    "EIP-1967: Proxy Storage Slots, 2019: Upgraded, BeaconUpgraded, AdminChanged",
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023: privileged access",
  },
  false_positives = { "planned upgrades" },
  tags = { "control", "contract.upgrade" },
  params = {
    young_code = "1d",
    young_account = 20,      -- nonce
    calls = { "0x3659cfe6", "0x4f1ef286", "0x99a88ec4", "0x9623609d", "0x8f283970", "0xd784d426" },
  },
  when = function(p)
    return { { kind = "creation" }, { logs = { "upgraded", "admin_changed" } }, { selector = p.calls } }
  end,
  state = function() return { made = key.first_seen { key = "created", max_keys = 50000 } } end,
  evaluate = function(tx, s, p)
    if tx.status == 0 then return end
    if tx.is_creation then
      s.made:add(tx)               -- a proxy's first code comes with its creation: no upgrade
      return
    end
    local what, proxy, code, age = nil, nil, nil, nil
    for _, log in tx.logs() do
      if log.kind == "upgraded" then
        what, proxy, code, age = "code", log.address, log.to, s.made:age(tx, "log_to")
      elseif log.kind == "admin_changed" and what == nil then
        what, proxy, code = "administrator", log.address, log.to
      end
    end
    if what == nil then
      if tx.nlogs > 0 then return end
      local admin = tx.selector == "0x99a88ec4" or tx.selector == "0x9623609d"    -- upgrade(proxy, code) of a ProxyAdmin
      what, proxy, code = tx.selector == "0x8f283970" and "administrator" or "code", admin and tx.arg1 or tx.to, admin and tx.arg2 or tx.arg1
      age = s.made:age(tx, admin and "arg2" or "arg1")
    end
    local young = age ~= nil and age <= seconds(p.young_code) or tx.nonce < p.young_account
    return alert {
      score = young and 0.6 or 0.35,
      severity = young and "medium" or nil,
      dedup = proxy,
      explain = { what = what, proxy = proxy, new = code, hours_old = age and age / 3600, nonce = tx.nonce, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for the event", given = tx { from = A, to = Y, nonce = 900, ether = 0, selector = "0x12345678", logs = {
        { kind = "upgraded", address = X, to = C } } }, expect = { alerts = 1, severity = "low", dedup = X } },
    { name = "is medium for code of this hour",
      given = { tx { from = B, creation = true, created = C, ether = 0 }, tx { from = A, to = Y, nonce = 900, ether = 0, selector = "0x12345678",
        after = "10m", logs = { { kind = "upgraded", address = X, to = C } } } }, expect = { alerts = 1, first = 2, severity = "medium", dedup = X } },
    { name = "fires for the call where there are no receipts", given = tx { from = A, to = X, nonce = 900, selector = "0x3659cfe6", arg1 = C },
      expect = { alerts = 1, severity = "low", dedup = X } },
    { name = "quiet for the creation of a proxy", given = tx { from = A, creation = true, logs = { { kind = "upgraded", address = X, to = C } } },
      expect = "quiet" },
    { name = "quiet when it failed", given = tx { from = A, to = X, selector = "0x3659cfe6", arg1 = C, status = 0 }, expect = "quiet" },
  },
}
