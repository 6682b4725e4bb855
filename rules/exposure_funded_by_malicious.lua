--- A known attacker pays an address that nobody knows.
---@type cw.Rule
return rule {
  id = "eth.funded_by_malicious",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Account funded by a known attacker",
  description = "An address on the lists as exploiter, phisher or otherwise malicious pays one that is on none. The receiver is "
    .. "his own next address, a helper or a service; the alert is about the receiver.",
  references = {
    "Forta Network, Threat Detection Kits: malicious account funding",
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: source of funds",
  },
  false_positives = { "dust that is sent to many for confusion; deposit addresses of exchanges" },
  tags = { "aml.exposure", "attack.funding" },
  params = {
    bad = "exploiter,exploit_contract,service_hack,malicious,phishing,sanctioned",
    min_ether = 0.05,
  },
  when = function(p) return { from_listed = p.bad, min_ether = p.min_ether } end,
  state = function(p)
    return {
      bad = list.contains { category = p.bad },
      any = list.contains { },
      count = window.sum { key = "to", of = "value", span = "30d", max_keys = 20000 },
    }
  end,
  evaluate = function(tx, s)
    if tx.to == nil or s.any:has(tx, "to") then return end
    local sum = (s.count:add(tx) or 0) / 1e18
    return alert {
      score = math.min(0.6 + 0.1 * math.log10(1 + sum), 0.9),
      confidence = s.bad:confidence(tx, "from"),
      dedup = tx.to,
      explain = { ether = tx.ether, ether_in_month = sum, receiver = tx.to, payer = tx.from,
                  category = s.bad:category(tx, "from"), name = s.bad:name(tx, "from") },
    }
  end,
  tests = {
    { name = "fires for the receiver", lists = { [A] = "exploiter" }, given = tx { from = A, to = B },
      expect = { alerts = 1, severity = "high", dedup = B } },
    { name = "quiet for a receiver that is known", lists = { [A] = "exploiter", [B] = "exchange" },
      given = tx { from = A, to = B }, expect = "quiet" },
    { name = "quiet for dust", lists = { [A] = "exploiter" }, given = tx { from = A, to = B, ether = 0.001 },
      expect = "quiet" },
    { name = "quiet for strangers", given = tx { from = A, to = B }, expect = "quiet" },
  },
}
