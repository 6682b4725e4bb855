--- One person moves the tokens of many owners.
---@type cw.Rule
return rule {
  id = "eth.bulk_pull",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "One sender moves the tokens of many owners",
  role = "actor",
  description = "Within an hour one sender moves tokens out of the accounts of several others, one transaction for each, without "
    .. "being a contract: a drainer at work. With many owners the severity is high.",
  references = {
    "Microsoft 365 Defender Research, Ice Phishing on the Blockchain, 2022",
    "BadgerDAO, BadgerDAO Exploit Technical Post Mortem, 2021",
  },
  false_positives = { "companies that collect from deposit addresses they own: put the sender on a list" },
  tags = { "fraud.approval_phishing", "theft" },
  params = {
    owners = 5,
    high = 20,
    window = "1h",
    known = "exchange,custodian,payment",
  },
  when = { selector = { "0x23b872dd", "0x42842e0e" } },
  state = function(p)
    return {
      owners = window.distinct { key = "from", of = "arg1", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.arg1 == nil or tx.arg1 == tx.from or tx.word3 == "0x" .. ("0"):rep(64) then return end
    local n = s.owners:add(tx) or 0
    if n < p.owners or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.5 + n / (4 * p.high), 1),
      severity = n >= p.high and "high" or nil,
      dedup = tx.from,
      explain = { owners = n, limit = p.owners, window = p.window, token = tx.to, receiver = tx.arg2, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires at five owners",
      given = txs { n = 5, from = Z, to = T, ether = 0, selector = "0x23b872dd", arg1 = { A, B, C, D, E }, arg2 = Y, arg3 = 7 },
      expect = { alerts = 1, first = 5, severity = "medium", dedup = Z } },
    { name = "quiet for one's own", given = txs { n = 9, from = A, to = T, selector = "0x23b872dd", arg1 = A, arg2 = Y, arg3 = 7 },
      expect = "quiet" },
    { name = "quiet for zero amounts",
      given = txs { n = 9, from = Z, to = T, selector = "0x23b872dd", arg1 = { A, B, C, D, E, F }, arg2 = Y, arg3 = 0 },
      expect = "quiet" },
    { name = "quiet when slow",
      given = txs { n = 6, from = Z, to = T, selector = "0x23b872dd", arg1 = { A, B, C, D, E, F }, arg2 = Y, arg3 = 7, every = "1h" },
      expect = "quiet" },
  },
}
