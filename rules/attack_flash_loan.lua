--- A flash loan was taken.
---@type cw.Rule
return rule {
  id = "eth.flash_loan",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Flash loan",
  description = "A transaction borrowed and repaid within itself. By far most flash loans are arbitrage; the alert is there because "
    .. "nearly every attack with borrowed money has one, and to be joined with others on the same account.",
  references = {
    "K. Qin et al., Attacking the DeFi Ecosystem with Flash Loans for Fun and Profit, Financial Cryptography 2021",
    "NethermindEth, Forta Agents: flash loan",
  },
  false_positives = { "arbitrage and liquidation bots: lists of mev_bot are left out" },
  tags = { "flash_loan", "mev" },
  params = {
    known = "mev_bot,mev_builder",
    calls = { "0xab9c4b5d", "0x5cffe9de", "0x5c38449e", "0x42b0b77c", "0x490e6cbc" },   -- flashLoan and its like, called directly
  },
  when = function(p) return { { logs = "flash_loan" }, { selector = p.calls } } end,
  state = function(p) return { service = list.contains { category = p.known } } end,
  evaluate = function(tx, s)
    if s.service:has(tx, "from") or s.service:has(tx, "to") or tx.status == 0 then return end
    local loans, token, amount, lender = 0, nil, nil, tx.to
    for _, log in tx.logs("flash_loan") do
      loans, token, amount, lender = loans + 1, log.token, log.amount_text, log.address
    end
    return alert {
      score = loans > 1 and 0.35 or 0.25,
      dedup = tx.from,
      explain = { loans = loans, token = token, amount = amount, lender = lender, contract = tx.to, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for the event", given = tx { from = A, to = X, ether = 0, selector = "0x12345678", logs = {
        { kind = "flash_loan", address = L, from = X, to = X, token = T, amount = 1e15, fee = 9e11 } } },
      expect = { alerts = 1, severity = "low", dedup = A } },
    { name = "fires for a direct call without receipts", given = tx { from = A, to = L, ether = 0, selector = "0x42b0b77c" },
      expect = { alerts = 1, severity = "low" } },
    { name = "quiet for a bot", lists = { [A] = "mev_bot" }, given = tx { from = A, to = L, selector = "0x42b0b77c" }, expect = "quiet" },
    { name = "quiet when it failed", given = tx { from = A, to = L, selector = "0x42b0b77c", status = 0 }, expect = "quiet" },
    { name = "quiet for others", given = tx { from = A, to = L, selector = "0xa9059cbb" }, expect = "quiet" },
  },
}
