--- Many failed transactions of one sender, or at one contract.
---@type cw.Rule
return rule {
  id = "eth.failed_burst",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Burst of failed transactions",
  description = "One sender fails again and again (a bot, or somebody who tries an attack until it works), or many different senders "
    .. "fail at one contract (it is stopped, a trap, or under a rush): the second is medium. Needs receipts.",
  references = {
    "NethermindEth, Forta Agents: high volume of failed transactions",
    "C. F. Torres, M. Steichen, R. State, The Art of The Scam: Demystifying Honeypots in Ethereum Smart Contracts, USENIX Security 2019",
  },
  false_positives = { "arbitrage bots that lose their races; sales that were sold out" },
  tags = { "failure", "contract" },
  params = {
    fails = 15,              -- of one sender in the window
    senders = 20,            -- different ones that fail at one contract in the window
    window = "10m",
    known = "mev_bot,router",
  },
  when = { status = 0 },
  state = function(p)
    return {
      own = window.count { key = "from", span = p.window, max_keys = 20000 },
      at = window.distinct { key = "to", of = "from", span = p.window, max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local own, at = s.own:add(tx) or 0, s.at:add(tx) or 0
    if at >= p.senders and not s.service:has(tx, "to") then
      return alert {
        score = math.min(0.4 + 0.005 * at, 0.8),
        severity = "medium",
        dedup = tx.to,
        explain = { what = "contract", senders_that_failed = at, limit = p.senders, window = p.window, contract = tx.to },
      }
    elseif own >= p.fails and not s.service:has(tx, "from") then
      return alert {
        score = math.min(0.2 + 0.01 * own, 0.6),
        dedup = tx.from,
        explain = { what = "sender", failures = own, limit = p.fails, window = p.window, sender = tx.from, contract = tx.to },
      }
    end
  end,
  tests = {
    { name = "is low for one sender", given = txs { n = 16, from = A, to = { X, Y }, ether = 0, selector = "0x12345678", status = 0 },
      expect = { alerts = 2, first = 15, severity = "low", dedup = A } },
    { name = "is medium for a contract", given = txs { n = 20, from = each, to = X, ether = 0, selector = "0x12345678", status = 0 },
      expect = { alerts = 1, first = 20, severity = "medium", dedup = X } },
    { name = "quiet for what succeeds", given = txs { n = 90, from = A, to = X, status = 1 }, expect = "quiet" },
    { name = "quiet without receipts", given = txs { n = 90, from = A, to = X }, expect = "quiet" },
    { name = "quiet when slow", given = txs { n = 40, from = A, to = X, status = 0, every = "2m" }, expect = "quiet" },
  },
}
