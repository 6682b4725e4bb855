--- A flash loan that left its taker much richer.
---@type cw.Rule
return rule {
  id = "eth.flash_loan_profit",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Flash loan with a large profit",
  description = "In a transaction with a flash loan, the sender and the contract it called end up with more of the borrowed token "
    .. "than they began with: a gain of several percent of the loan. Arbitrage earns a fraction of a percent; who earns more has "
    .. "found a hole. High where the sender is a young account, as attackers' are.",
  references = {
    "K. Qin et al., Attacking the DeFi Ecosystem with Flash Loans for Fun and Profit, Financial Cryptography 2021",
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023",
  },
  false_positives = { "liquidations of large positions by new bots" },
  tags = { "flash_loan", "attack.exploitation" },
  params = {
    share = 0.02,            -- of the loan
    high = 0.05,
    young = 500,             -- below this nonce the sender is no bot of old
    known = "mev_bot,mev_builder",
  },
  when = { logs = "flash_loan" },
  state = function(p) return { service = list.contains { category = p.known } } end,
  evaluate = function(tx, s, p)
    if s.service:has(tx, "from") or s.service:has(tx, "to") then return end
    local best, of, gained = 0, nil, nil
    for _, loan in tx.logs("flash_loan") do
      local token, taker, amount = loan.token or loan.address, loan.to or tx.to, loan.amount or 0
      local gain = 0
      for _, log in tx.logs("transfer") do
        if log.address == token and log.amount ~= nil then
          local to, from = log.to, log.from
          if to == tx.from or to == tx.to or to == taker then gain = gain + log.amount end
          if from == tx.from or from == tx.to or from == taker then gain = gain - log.amount end
        end
      end
      if amount > 0 and gain / amount > best then best, of, gained = gain / amount, token, gain end
    end
    if best < p.share then return end
    return alert {
      score = math.min(0.5 + best, 1),
      severity = best >= p.high and tx.nonce < p.young and "high" or nil,
      dedup = tx.from,
      explain = { gain_share = best, limit = p.share, token = of, gain = gained, nonce = tx.nonce, contract = tx.to,
                  complete = tx.nlogs == tx.logs_total },
    }
  end,
  tests = {
    { name = "is high for a young account", given = tx { from = A, to = X, nonce = 3, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", address = T, from = L, to = X, amount = 1e15 }, { kind = "transfer", address = T, from = V, to = X, amount = 2e14 },
        { kind = "transfer", address = T, from = X, to = L, amount = 1.0009e15 },
        { kind = "flash_loan", address = L, from = X, to = X, token = T, amount = 1e15 } } },
      expect = { alerts = 1, severity = "high", dedup = A } },
    { name = "is medium for an old one", given = tx { from = A, to = X, nonce = 9000, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", address = T, from = L, to = X, amount = 1e15 }, { kind = "transfer", address = T, from = V, to = X, amount = 2e14 },
        { kind = "transfer", address = T, from = X, to = L, amount = 1.0009e15 },
        { kind = "flash_loan", address = L, from = X, to = X, token = T, amount = 1e15 } } },
      expect = { alerts = 1, severity = "medium" } },
    { name = "quiet for arbitrage", given = tx { from = A, to = X, nonce = 3, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", address = T, from = L, to = X, amount = 1e15 }, { kind = "transfer", address = T, from = V, to = X, amount = 2e12 },
        { kind = "transfer", address = T, from = X, to = L, amount = 1.0009e15 },
        { kind = "flash_loan", address = L, from = X, to = X, token = T, amount = 1e15 } } }, expect = "quiet" },
    { name = "quiet without receipts", given = tx { from = A, to = X, selector = "0x42b0b77c" }, expect = "quiet" },
  },
}
