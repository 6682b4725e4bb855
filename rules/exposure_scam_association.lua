--- An address that deals with several listed ones.
---@type cw.Rule
return rule {
  id = "eth.scam_association",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Deals with several listed addresses",
  description = "An address that is on no list is paid by several listed phishers and scammers (then it is likely one of them: "
    .. "high), or pays several of them (a helper, or a person who is being robbed again and again: medium). One contact is "
    .. "chance; `eth.listed_address` reports it.",
  references = {
    "Forta Network, Scam Detector: label propagation",
    "J. Wu et al., Who Are the Phishers? Phishing Scam Detection on Ethereum via Network Embedding, 2020",
  },
  false_positives = { "exchanges and payment services: put them on a list", "victims: the alert says in which direction" },
  tags = { "aml.exposure", "fraud.cluster" },
  params = {
    bad = "phishing,scam,fraud,ponzi_scheme,malicious,exploiter",
    payers = 2,              -- listed ones that paid the address
    payees = 3,              -- listed ones that it paid
    window = "30d",
    min_ether = 0.01,
  },
  when = function(p) return { listed = p.bad, min_ether = p.min_ether } end,
  state = function(p)
    return {
      bad = list.contains { category = p.bad },
      any = list.contains { },
      payers = window.distinct { key = "to", of = "from", span = p.window, max_keys = 20000 },
      payees = window.distinct { key = "from", of = "to", span = p.window, max_keys = 20000 },
    }
  end,
  evaluate = function(tx, s, p)
    local paid = s.bad:has(tx, "from")
    local n = paid and s.payers:add(tx) or s.payees:add(tx)
    if n == nil or n < (paid and p.payers or p.payees) or s.any:has(tx, paid and "to" or "from") then return end
    return alert {
      score = math.min((paid and 0.6 or 0.4) + 0.05 * n, 0.9),
      severity = paid and "high" or nil,
      dedup = paid and tx.to or tx.from,
      explain = { listed = n, limit = paid and p.payers or p.payees, direction = paid and "was paid by" or "pays",
                  address = paid and tx.to or tx.from, window = p.window,
                  category = s.bad:category(tx, paid and "from" or "to") },
    }
  end,
  tests = {
    { name = "is high when several pay it", lists = { [A] = "phishing", [C] = "scam" },
      given = txs { n = 2, from = { A, C }, to = B }, expect = { alerts = 1, first = 2, severity = "high", dedup = B } },
    { name = "is medium when it pays several", lists = { [C] = "phishing", [D] = "scam", [E] = "fraud" },
      given = txs { n = 3, from = A, to = { C, D, E } }, expect = { alerts = 1, first = 3, severity = "medium", dedup = A } },
    { name = "quiet for one", lists = { [C] = "phishing" }, given = txs { n = 9, from = A, to = C }, expect = "quiet" },
    { name = "quiet for an exchange", lists = { [A] = "phishing", [C] = "scam", [B] = "exchange" },
      given = txs { n = 2, from = { A, C }, to = B }, expect = "quiet" },
  },
}
