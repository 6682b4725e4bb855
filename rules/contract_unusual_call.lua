--- A function that is never called at this contract, with a large amount in it.
---@type cw.Rule
return rule {
  id = "eth.unusual_call",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Function that this contract is never called with",
  description = "A busy contract is nearly always called in a few ways. This call is none of them, and ether moves with it, or a flash "
    .. "loan, or a change of control. Rarity is measured in bits against the contract's own past.",
  references = {
    "C. E. Shannon, A Mathematical Theory of Communication, 1948",
    "Forta Network: anomaly score of a finding as the share of its like",
  },
  false_positives = { "administration of contracts, new functions after an upgrade" },
  tags = { "contract", "rarity" },
  params = {
    bits = 7,                -- of surprise: one call in 128
    past = 100,              -- calls that must be known
    min_ether = 10,
  },
  when = { kind = "call" },
  state = function(p) return { ways = stat.entropy { key = "to", of = "selector", warm = p.past, cells = 32, max_keys = 3000 } } end,
  evaluate = function(tx, s, p)
    local bits = s.ways:add(tx)
    if bits == nil or bits < p.bits or tx.ether < p.min_ether then return end
    return alert {
      score = math.min(0.2 + 0.03 * bits, 0.6),
      dedup = tx.to .. " " .. (tx.selector or ""),
      explain = { bits = bits, limit = p.bits, selector = tx.selector, ether = tx.ether, contract = tx.to, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for a first call with ether",
      given = { txs { n = 200, from = each, to = X, ether = 0, selector = { "0x38ed1739", "0x7ff36ab5" } },
                tx { from = Z, to = X, ether = 50, selector = "0xdeadbeef" } }, expect = { alerts = 1, first = 201, severity = "low" } },
    { name = "quiet without ether", given = { txs { n = 200, from = each, to = X, ether = 0, selector = { "0x38ed1739", "0x7ff36ab5" } },
      tx { from = Z, to = X, ether = 0, selector = "0xdeadbeef" } }, expect = "quiet" },
    { name = "quiet for the usual", given = txs { n = 300, from = each, to = X, ether = 50, selector = { "0x38ed1739", "0x7ff36ab5" } },
      expect = "quiet" },
    { name = "quiet while the contract is new", given = { txs { n = 20, from = each, to = X, selector = "0x38ed1739" },
      tx { from = Z, to = X, ether = 50, selector = "0xdeadbeef" } }, expect = "quiet" },
  },
}
