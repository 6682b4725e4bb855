--- One transaction pays equal amounts of a token to many.
---@type cw.Rule
return rule {
  id = "eth.token_multisend",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Equal token payments to many at once",
  description = "One transaction moves the same amount of a token out of one account to many receivers: dispersal through a contract "
    .. "made for it, or an airdrop, which is bait when nobody asked for it. Needs receipts.",
  references = {
    "Forta Network, Starter Kits: batched transactions, disperse and multisend",
    "F. Victor, Address Clustering Heuristics for Ethereum, Financial Cryptography 2020: airdrops",
  },
  false_positives = { "honest airdrops and payroll" },
  tags = { "token", "aml.dispersal" },
  params = {
    receivers = 25,
    known = "exchange,custodian,payroll",
  },
  when = function(p) return { logs = "transfer", min_nlogs = p.receivers } end,
  state = function(p) return { service = list.contains { category = p.known } } end,
  evaluate = function(tx, s, p)
    local n, token, amount, payer = 0, nil, nil, nil
    for _, log in tx.logs("transfer") do
      local sum = log.amount_text
      if log.standard ~= "erc721" and sum ~= nil then
        if token == nil then token, amount, payer = log.address, sum, log.from end
        if log.address == token and sum == amount and log.from == payer then n = n + 1 end
      end
    end
    if n < p.receivers or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.2 + 0.005 * n, 0.6),
      dedup = tx.from,
      explain = { receivers = n, limit = p.receivers, token = token, amount_each = amount, payer = payer, of_logs = tx.logs_total },
    }
  end,
  tests = {
    { name = "fires for six with a limit of six", params = { receivers = 6 }, given = tx { from = A, to = X, ether = 0, selector = "0xc73a2d60", logs = {
        { kind = "transfer", from = A, to = C, amount = 5 }, { kind = "transfer", from = A, to = D, amount = 5 },
        { kind = "transfer", from = A, to = E, amount = 5 }, { kind = "transfer", from = A, to = F, amount = 5 },
        { kind = "transfer", from = A, to = G, amount = 5 }, { kind = "transfer", from = A, to = H, amount = 5 } } },
      expect = { alerts = 1, severity = "low", dedup = A } },
    { name = "quiet for different amounts", params = { receivers = 3 }, given = tx { from = A, to = X, logs = {
        { kind = "transfer", from = A, to = C, amount = 5 }, { kind = "transfer", from = A, to = D, amount = 6 },
        { kind = "transfer", from = A, to = E, amount = 7 } } }, expect = "quiet" },
    { name = "quiet without receipts", given = tx { from = A, to = X, selector = "0xc73a2d60" }, expect = "quiet" },
  },
}
