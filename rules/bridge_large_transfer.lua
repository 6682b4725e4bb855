--- A very large deposit into a bridge.
---@type cw.Rule
return rule {
  id = "eth.bridge_large_transfer",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Very large transfer into a bridge",
  description = "Hundreds of ether leave the chain through a bridge at once. Reported for the record of who took what where; "
    .. "medium where the sender is a young account.",
  references = { "Elliptic, The State of Cross-chain Crime, 2023" },
  false_positives = { "market makers and exchanges that balance their funds between chains" },
  tags = { "bridge", "amount" },
  params = {
    min_ether = 200,
    young = 10,              -- below this nonce the sender is young
    known = "exchange,custodian,bridge",
  },
  when = function(p) return { to_listed = "bridge", min_ether = p.min_ether } end,
  state = function(p) return { service = list.contains { category = p.known }, bridge = list.contains { category = "bridge" } } end,
  evaluate = function(tx, s, p)
    if s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.3 + 0.2 * math.log10(tx.ether / p.min_ether), 0.8),
      severity = tx.nonce < p.young and "medium" or nil,
      dedup = tx.from,
      explain = { ether = tx.ether, limit_ether = p.min_ether, nonce = tx.nonce, bridge = s.bridge:name(tx, "to") },
    }
  end,
  tests = {
    { name = "fires for a large deposit", lists = { [B] = "bridge" }, given = tx { from = A, to = B, ether = 500, nonce = 90 },
      expect = { alerts = 1, severity = "low", dedup = A } },
    { name = "is medium for a young account", lists = { [B] = "bridge" },
      given = tx { from = A, to = B, ether = 500, nonce = 2 }, expect = { severity = "medium" } },
    { name = "quiet for a small one", lists = { [B] = "bridge" }, given = tx { from = A, to = B, ether = 20 },
      expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "exchange", [B] = "bridge" },
      given = tx { from = A, to = B, ether = 500 }, expect = "quiet" },
  },
}
