--- The same token payment again and again within one transaction.
---@type cw.Rule
return rule {
  id = "eth.repeated_payouts",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Same payment many times in one transaction",
  role = "victim",
  description = "Within one transaction a contract pays the same amount of a token to the same receiver many times. A withdrawal "
    .. "that can be entered again before it is booked looks like this in the logs; call traces would show it directly.",
  references = {
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023: reentrancy",
    "M. Rodler et al., Sereum: Protecting Existing Smart Contracts Against Re-Entrancy Attacks, NDSS 2019",
  },
  false_positives = { "batches of equal rewards or fees for one receiver" },
  tags = { "attack.reentrancy" },
  params = {
    times = 6,
  },
  when = function(p) return { logs = "transfer", min_nlogs = p.times } end,
  evaluate = function(tx, _, p)
    local seen, most, what = {}, 0, nil
    for _, log in tx.logs("transfer") do
      local amount, from, to = log.amount_text, log.from, log.to
      if log.standard ~= "erc721" and log.standard ~= "erc1155" and amount and amount ~= "0" and (to == tx.from or to == tx.to)
        and from ~= tx.from then
        local same = log.address .. from .. to .. amount
        seen[same] = (seen[same] or 0) + 1
        if seen[same] > most then most, what = seen[same], { token = log.address, payer = from, receiver = to, amount = amount } end
      end
    end
    if most < p.times then return end
    what.times, what.limit = most, p.times
    return alert { score = math.min(0.4 + 0.03 * most, 0.9), dedup = what.payer, explain = what }
  end,
  tests = {
    { name = "fires at the sixth", given = tx { from = A, to = X, ether = 0, selector = "0x12345678", logs = {
        { kind = "transfer", from = V, to = X, amount = 500 }, { kind = "transfer", from = V, to = X, amount = 500 },
        { kind = "transfer", from = V, to = X, amount = 500 }, { kind = "transfer", from = V, to = X, amount = 500 },
        { kind = "transfer", from = V, to = X, amount = 500 }, { kind = "transfer", from = V, to = X, amount = 500 } } },
      expect = { alerts = 1, severity = "medium", dedup = V } },
    { name = "quiet for different amounts", given = tx { from = A, to = X, selector = "0x12345678", logs = {
        { kind = "transfer", from = V, to = X, amount = 500 }, { kind = "transfer", from = V, to = X, amount = 501 },
        { kind = "transfer", from = V, to = X, amount = 502 }, { kind = "transfer", from = V, to = X, amount = 503 },
        { kind = "transfer", from = V, to = X, amount = 504 }, { kind = "transfer", from = V, to = X, amount = 505 } } }, expect = "quiet" },
    { name = "quiet for others' money", given = tx { from = A, to = X, selector = "0x12345678", logs = {
        { kind = "transfer", from = V, to = W, amount = 500 }, { kind = "transfer", from = V, to = W, amount = 500 },
        { kind = "transfer", from = V, to = W, amount = 500 }, { kind = "transfer", from = V, to = W, amount = 500 },
        { kind = "transfer", from = V, to = W, amount = 500 }, { kind = "transfer", from = V, to = W, amount = 500 } } }, expect = "quiet" },
  },
}
