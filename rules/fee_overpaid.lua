--- A plain transfer whose fee is out of all proportion.
---@type cw.Rule
return rule {
  id = "eth.overpaid_fee",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Fee out of proportion for a plain transfer",
  description = "A plain transfer is worth the same to a block at any hour, so nobody has a reason to pay a large fee for it: "
    .. "price and amount were swapped, a wallet or a script is broken, a key is being robbed in a race, or money is handed "
    .. "to the block's producer on purpose.",
  references = {
    "EIP-1559: Fee market change for ETH 1.0 chain, 2019",
    "P. Daian et al., Flash Boys 2.0: Frontrunning in Decentralized Exchanges, 2020: priority gas auctions",
  },
  false_positives = { "rescues of funds from a compromised key, which race a sweeper bot" },
  tags = { "gas", "mistake", "account.compromised" },
  params = {
    min_fee_ether = 0.05,
    share = 0.5,             -- of the amount that moves, from which on the fee is odd
    high_ether = 5,          -- from this fee on the severity is high whatever moves
  },
  when = { kind = "transfer", min_gas_price_gwei = 1000 },
  evaluate = function(tx, _, p)
    local fee = (tx.fee or 21000 * tx.gas_price) / 1e18
    if fee < p.min_fee_ether or (fee < p.share * tx.ether and fee < p.high_ether) then return end
    return alert {
      score = math.min(0.5 + 0.2 * math.log10(fee / p.min_fee_ether), 1),
      severity = fee >= p.high_ether and "high" or nil,
      dedup = tx.from,
      explain = { fee_ether = fee, ether = tx.ether, gas_price_gwei = tx.gas_price_gwei, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires when the fee is as large as the amount", given = tx { from = A, ether = 0.1, gas_price_gwei = 5000 },
      expect = { alerts = 1, severity = "medium", dedup = A } },
    { name = "is high for a fortune", given = tx { from = A, ether = 100, gas_price_gwei = 400000 },
      expect = { alerts = 1, severity = "high" } },
    { name = "takes the receipt's fee where there is one",
      given = tx { from = A, ether = 0.1, gas = 90000, gas_used = 90000, gas_price_gwei = 1500 }, expect = "alert" },
    { name = "quiet for a large amount", given = tx { from = A, ether = 50, gas_price_gwei = 5000 }, expect = "quiet" },
    { name = "quiet for calls", given = tx { from = A, ether = 0, gas_price_gwei = 9000, selector = "0xa9059cbb" },
      expect = "quiet" },
    { name = "quiet at an ordinary price", given = tx { from = A, ether = 0.0001, gas_price_gwei = 90 }, expect = "quiet" },
  },
}
