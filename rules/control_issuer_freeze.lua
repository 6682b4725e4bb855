--- The issuer of a token freezes an account or takes its tokens.
---@type cw.Rule
local NAMES = { ["0x0ecb93c0"] = "addBlackList", ["0xe4997dc5"] = "removeBlackList", ["0xf3bdc228"] = "destroyBlackFunds",
                ["0xf9f92be4"] = "blacklist", ["0x1a895266"] = "unBlacklist", ["0x8d1fdf2f"] = "freeze",
                ["0xe2f72f03"] = "wipeFrozenAddress" }

return rule {
  id = "eth.issuer_freeze",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Issuer freezes an account",
  role = "counterparty",
  description = "The issuer of a stablecoin blocks an account, frees it, or destroys what it holds. The account named in the call is "
    .. "one to watch: issuers act on orders of courts and on thefts, hours after them.",
  references = {
    "Forta Network, Starter Kits: stablecoin blocklist events",
    "Range, Alerting Catalogue: issuer freeze",
  },
  false_positives = { "tokens whose function has one of these names and another meaning" },
  tags = { "control", "sanctions" },
  params = {
    calls = { "0x0ecb93c0", "0xe4997dc5", "0xf3bdc228", "0xf9f92be4", "0x1a895266", "0x8d1fdf2f", "0xe2f72f03" },
  },
  when = function(p) return { selector = p.calls, kind = "call" } end,
  evaluate = function(tx)
    if tx.status == 0 or tx.input_size ~= 36 then return end
    local taken = tx.selector == "0xf3bdc228" or tx.selector == "0xe2f72f03"
    return alert {
      score = taken and 0.6 or 0.4,
      severity = taken and "medium" or nil,
      dedup = tx.arg1 or tx.to,
      explain = { call = NAMES[tx.selector] or tx.selector, account = tx.arg1, token = tx.to, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for the account", given = tx { from = A, to = T, ether = 0, selector = "0xf9f92be4", arg1 = Z },
      expect = { alerts = 1, severity = "low", dedup = Z } },
    { name = "is medium when tokens are destroyed", given = tx { from = A, to = T, selector = "0xf3bdc228", arg1 = Z },
      expect = { alerts = 1, severity = "medium" } },
    { name = "quiet when it failed", given = tx { from = A, to = T, selector = "0xf9f92be4", arg1 = Z, status = 0 }, expect = "quiet" },
    { name = "quiet with other arguments", given = tx { from = A, to = T, selector = "0x8d1fdf2f", arg1 = Z, arg2 = 5 }, expect = "quiet" },
  },
}
