--- Somebody calls the end of a contract.
---@type cw.Rule
return rule {
  id = "eth.kill_call",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Call that ends a contract",
  role = "victim",
  description = "kill(), destroy(), selfdestruct() and their like: the end of a contract and of what depends on it. In November 2017 one "
    .. "such call by a stranger froze more than half a million ether. High where the caller has hardly any history.",
  references = {
    "Parity Technologies, A Postmortem on the Parity Multi-Sig Library Self-Destruct, 15 November 2017",
    "J. Chen et al., Why Do Smart Contracts Self-Destruct?, ACM TOSEM 31, 2021",
    "EIP-6780: SELFDESTRUCT only in same transaction, 2023",
  },
  false_positives = { "owners who clean up; contracts in which the name means something else" },
  tags = { "control", "contract.end" },
  params = {
    young = 3,               -- below this nonce the caller has hardly any history
    calls = { "0x41c0e1b5", "0x83197ef0", "0x679d38e0", "0x2b68b9c6", "0xc96cd46f" },
  },
  when = function(p) return { selector = p.calls } end,
  evaluate = function(tx, _, p)
    local young = tx.nonce < p.young and tx.status ~= 0
    return alert {
      score = tx.status == 0 and 0.3 or young and 0.7 or 0.5,
      severity = tx.status == 0 and "low" or young and "high" or nil,
      dedup = tx.to,
      explain = { contract = tx.to, selector = tx.selector, caller = tx.from, nonce = tx.nonce, failed = tx.status == 0 },
    }
  end,
  tests = {
    { name = "fires for kill()", given = tx { from = A, to = X, ether = 0, selector = "0x41c0e1b5", nonce = 60 },
      expect = { alerts = 1, severity = "medium", dedup = X } },
    { name = "is high for a stranger", given = tx { from = A, to = X, selector = "0x83197ef0", nonce = 0 }, expect = { severity = "high" } },
    { name = "is low when it failed", given = tx { from = A, to = X, selector = "0x41c0e1b5", nonce = 0, status = 0 },
      expect = { severity = "low" } },
    { name = "quiet for other calls", given = tx { from = A, to = X, selector = "0x43d726d6" }, expect = "quiet" },
  },
}
