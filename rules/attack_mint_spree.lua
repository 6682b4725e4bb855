--- One sender mints again and again.
---@type cw.Rule
return rule {
  id = "eth.mint_spree",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "One sender mints again and again",
  description = "One address calls the mint of the same contract dozens of times within minutes: a bot that gets round a limit for "
    .. "each wallet or transaction, or somebody who has found a price of zero.",
  references = {
    "S. Casale-Brunet et al., Networks of Ethereum Non-Fungible Tokens: A graph-based analysis of the ERC-721 ecosystem, 2021",
  },
  false_positives = { "projects that mint their own collection: put the sender on a list" },
  tags = { "token", "bot" },
  params = {
    mints = 30,
    window = "10m",
    known = "exchange,marketplace",
    calls = { "0x1249c58b", "0xa0712d68", "0x40c10f19", "0x6a627842", "0x26092b83" },   -- mint and publicMint in their common forms
  },
  when = function(p) return { selector = p.calls } end,
  state = function(p)
    return {
      count = window.count { key = "from+to", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.count:add(tx)
    if n == nil or n < p.mints or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.2 + 0.005 * n, 0.7),
      dedup = tx.from .. " " .. tx.to,
      explain = { mints = n, limit = p.mints, window = p.window, contract = tx.to, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires at thirty", given = txs { n = 31, from = A, to = T, ether = 0, selector = "0x1249c58b", every = "5s" },
      expect = { alerts = 2, first = 30, severity = "low" } },
    { name = "quiet for many people", given = txs { n = 90, from = each, to = T, ether = 0, selector = "0x1249c58b" }, expect = "quiet" },
    { name = "quiet when slow", given = txs { n = 60, from = A, to = T, selector = "0x1249c58b", every = "1m" }, expect = "quiet" },
  },
}
