--- A mint far above all the token has seen.
---@type cw.Rule
return rule {
  id = "eth.mint_outlier",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Tokens minted far above the usual",
  role = "victim",
  description = "A token is created out of nothing in an amount that is many robust deviations above its own earlier mints: an "
    .. "unlimited mint after a stolen key or a hole in the check. Needs receipts.",
  references = {
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023",
    "EIP-20: Token Standard, 2015: creation as a transfer from the zero address",
  },
  false_positives = { "large deposits into vaults and pools, which mint shares" },
  tags = { "token", "attack.exploitation" },
  params = {
    deviations = 8,
    past = 30,               -- mints of the token that must be known
  },
  when = { logs = "transfer" },
  state = function(p)
    return { mints = stat.robust { key = "log_address", warm = p.past, min_spread = 1, bins = 64, max_keys = 5000 } }
  end,
  evaluate = function(tx, s, p)
    local worst, what = 0, nil
    for _, log in tx.logs("transfer") do
      if log.from == "0x0000000000000000000000000000000000000000" and log.standard == "erc20" and (log.amount or 0) > 0 then
        local z = s.mints:add(tx, log.amount) or 0
        if z > worst then
          worst, what = z, { token = log.address, amount = log.amount_text, receiver = log.to, deviations = z, limit = p.deviations }
        end
      end
    end
    if worst < p.deviations then return end
    return alert { score = math.min(0.4 + 0.03 * worst, 0.95), dedup = what.token, explain = what }
  end,
  tests = {
    { name = "fires far above the past", given = {
        txs { n = 40, from = each, to = T, ether = 0, selector = "0x40c10f19", logs = { { kind = "transfer", standard = "erc20",
          from = "0x0000000000000000000000000000000000000000", to = B, amount = { 1000, 2000, 1500, 800 } } } },
        tx { from = Z, to = T, ether = 0, selector = "0x40c10f19", logs = { { kind = "transfer", standard = "erc20",
          from = "0x0000000000000000000000000000000000000000", to = Z, amount = 1e14 } } } },
      expect = { alerts = 1, first = 41, severity = "medium", dedup = T } },
    { name = "quiet for the usual", given = txs { n = 90, from = each, to = T, ether = 0, selector = "0x40c10f19", logs = { { kind = "transfer",
        standard = "erc20", from = "0x0000000000000000000000000000000000000000", to = B, amount = { 1000, 2000, 1500, 90000 } } } },
      expect = "quiet" },
    { name = "quiet for transfers", given = txs { n = 90, from = each, to = T, logs = { { kind = "transfer", standard = "erc20", from = A, to = B,
        amount = 1e14 } } }, expect = "quiet" },
  },
}
