--- A transaction from or to an address on one of the lists.
---@type cw.Rule
return rule {
  id = "eth.listed_address",  version = "1.1.0",  severity = "high",  status = "stable",
  title = "Listed address",
  description = "The sender or the receiver is on an address list under a category that matters: sanctions, mixers, "
    .. "phishing, exploiters, scams. Lists are loaded with the rules; an entry past its expiry does not count. "
    .. "Transfers without value to such an address are left out unless the category is critical. Categories that no parameter names "
    .. "(services, tokens, bots, and whatever a list calls its own) give no alert.",
  references = {
    "OFAC, Specially Designated Nationals list, digital currency addresses",
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: source of funds",
  },
  false_positives = { "dust sent to many by a listed address; labels that are wrong or old" },
  tags = { "sanctions", "aml.exposure" },
  params = {
    critical = "sanctioned,sanctions,terrorism",
    high = "blacklisted,mixer,exploiter,exploit_contract,service_hack,hack,theft,malicious,phishing,drainer,ransomware,darknet_market",
    medium = "scam,fraud,ponzi_scheme,rug_pull",
    min_confidence = 0,      -- entries that are less sure do not count
    min_ether = 0.001,       -- for high and medium: less is dust
  },
  when = function(p) return { listed = p.critical .. "," .. p.high .. "," .. p.medium } end,
  state = function(p)
    return {
      critical = list.contains { category = p.critical, min_confidence = p.min_confidence },
      high = list.contains { category = p.high, min_confidence = p.min_confidence },
      medium = list.contains { category = p.medium, min_confidence = p.min_confidence },
    }
  end,
  evaluate = function(tx, s, p)
    local big = tx.ether >= p.min_ether
    local list, severity, side
    if s.critical:has(tx, "from") then list, severity, side = s.critical, "critical", "from"
    elseif s.critical:has(tx, "to") then list, severity, side = s.critical, "critical", "to"
    elseif big and s.high:has(tx, "from") then list, severity, side = s.high, "high", "from"
    elseif big and s.high:has(tx, "to") then list, severity, side = s.high, "high", "to"
    elseif big and s.medium:has(tx, "from") then list, severity, side = s.medium, "medium", "from"
    elseif big and s.medium:has(tx, "to") then list, severity, side = s.medium, "medium", "to"
    else return end
    local address = tx[side]
    return alert {
      score = severity == "critical" and 1 or severity == "high" and 0.8 or 0.6,
      confidence = list:confidence(tx, side),
      severity = severity,
      dedup = address .. " " .. (side == "from" and tx.to or tx.from or ""),
      explain = {
        address = address, side = side == "from" and "sender" or "receiver", category = list:category(tx, side),
        name = list:name(tx, side), source = list:source(tx, side), ether = tx.ether,
      },
    }
  end,
  tests = {
    { name = "critical for a sanctioned sender", lists = { [A] = "sanctioned" }, given = tx { from = A, to = B },
      expect = { alerts = 1, severity = "critical", min_score = 1 } },
    { name = "critical even without value", lists = { [B] = "sanctioned" }, given = tx { from = A, to = B, ether = 0 },
      expect = { alerts = 1, severity = "critical" } },
    { name = "high for a mixer", lists = { [B] = "mixer" }, given = tx { from = A, to = B },
      expect = { alerts = 1, severity = "high" } },
    { name = "medium for a scam", lists = { [B] = "scam" }, given = tx { from = A, to = B },
      expect = { alerts = 1, severity = "medium" } },
    { name = "the worse of two counts", lists = { [A] = "scam", [B] = "sanctioned" }, given = tx { from = A, to = B },
      expect = { alerts = 1, severity = "critical" } },
    { name = "quiet for dust", lists = { [B] = "phishing" }, given = tx { from = A, to = B, ether = 0.0001 },
      expect = "quiet" },
    { name = "quiet for an exchange", lists = { [B] = "exchange" }, given = tx { from = A, to = B }, expect = "quiet" },
    { name = "quiet for creations", lists = { [B] = "sanctioned" }, given = tx { from = A, creation = true },
      expect = "quiet" },
    { name = "quiet for strangers", given = tx { from = A, to = B }, expect = "quiet" },
  },
}
