--- A bridge pays out far more than it has used to.
---@type cw.Rule
return rule {
  id = "eth.bridge_drain",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Bridge pays out far more than usual",
  role = "victim",
  description = "What a listed bridge has paid out in this hour is many times what it paid in the hour before, and hundreds of "
    .. "ether at least: keys of validators stolen, or proofs forged. Seen are payments that the bridge's own accounts send "
    .. "as transactions.",
  references = {
    "Sky Mavis, Back to Building: Ronin Security Breach Postmortem, 2022",
    "S.-S. Lee et al., SoK: Not Quite Water Under the Bridge: Review of Cross-Chain Bridge Hacks, 2022",
  },
  false_positives = { "the bridge moves its own funds between its wallets: list those as bridge too" },
  tags = { "bridge", "attack.exploitation" },
  params = {
    min_ether = 500,         -- in this hour
    factor = 10,             -- times the hour before
  },
  when = { from_listed = "bridge", min_value = 1 },
  state = function()
    return {
      out = window.tumbling { key = "from", of = "value", span = "1h", max_keys = 5000 },
      own = list.contains { category = "bridge" },
    }
  end,
  evaluate = function(tx, s, p)
    if s.own:has(tx, "to") then return end
    if s.out:add(tx) == nil then return end
    local sum, before = s.out:sum(tx) / 1e18, s.out:before_sum(tx) / 1e18
    if sum < p.min_ether or sum < p.factor * before or s.out:before_count(tx) == 0 then return end
    return alert {
      score = math.min(0.7 + 0.1 * math.log10(sum / p.min_ether), 1),
      dedup = tx.from,
      explain = { ether_this_hour = sum, ether_hour_before = before, limit = p.min_ether, receiver = tx.to,
                  bridge = s.own:name(tx, "from") },
    }
  end,
  tests = {
    { name = "fires when much goes out at once", lists = { [A] = "bridge" },
      given = { txs { n = 5, from = A, to = each, ether = 3 }, tx { from = A, to = C, ether = 900, after = "1h" } },
      expect = { alerts = 1, first = 6, severity = "high", dedup = A } },
    { name = "quiet for a busy bridge", lists = { [A] = "bridge" },
      given = { txs { n = 5, from = A, to = each, ether = 200 }, tx { from = A, to = C, ether = 900, after = "1h" } },
      expect = "quiet" },
    { name = "quiet between its own wallets", lists = { [A] = "bridge", [C] = "bridge" },
      given = tx { from = A, to = C, ether = 9000 }, expect = "quiet" },
    { name = "quiet for strangers", given = tx { from = A, to = C, ether = 9000 }, expect = "quiet" },
  },
}
