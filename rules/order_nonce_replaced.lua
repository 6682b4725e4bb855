--- Two transactions of one sender with the same nonce.
---@type cw.Rule
return rule {
  id = "eth.nonce_replaced",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Same nonce twice",
  description = "A sender's nonce comes a second time with another transaction: a replacement with a higher price (where pending "
    .. "transactions are watched), or two histories of the chain (where blocks are). Medium where the second one pays another "
    .. "receiver: a payment that was shown is taken back. The last five thousand senders are remembered.",
  references = {
    "G. Wood, Ethereum: A Secure Decentralised Generalised Transaction Ledger (Yellow Paper): account nonce",
    "EIP-1559: Fee market change for ETH 1.0 chain, 2019: replacement",
  },
  false_positives = { "people who speed up or cancel a transaction", "short reorganisations of the chain" },
  tags = { "order", "double_spend" },
  params = {
    least = 0.2,             -- ether; smaller payments and calls without ether are left out: people speed those up all day
    min_ether = 1,           -- from this on another receiver matters
  },
  when = function(p) return { min_ether = p.least } end,
  state = function()
    return {
      order = sequence.nonce { key = "from", max_keys = 5000 },
      again = window.distinct { key = "from+nonce", of = "to", span = "1h", max_keys = 5000 },
    }
  end,
  evaluate = function(tx, s, p)
    local twice = s.order:replaces(tx)
    s.order:add(tx)
    if tx.ether >= p.min_ether then s.again:add(tx) end
    if not twice then return end
    local receivers = s.again:get(tx) or 0
    return alert {
      score = receivers > 1 and 0.6 or 0.3,
      severity = receivers > 1 and "medium" or nil,
      dedup = tx.from,
      explain = { nonce = tx.nonce, receivers = receivers, ether = tx.ether, gas_price_gwei = tx.gas_price_gwei, sender = tx.from },
    }
  end,
  tests = {
    { name = "is low for the same payment again", given = txs { n = 2, from = A, to = B, nonce = 7, gas_price_gwei = { 20, 30 } },
      expect = { alerts = 1, first = 2, severity = "low", dedup = A } },
    { name = "is medium for another receiver", given = txs { n = 2, from = A, to = { B, C }, nonce = 7, ether = 50 },
      expect = { alerts = 1, first = 2, severity = "medium" } },
    { name = "quiet in order", given = txs { n = 30, from = A, to = B }, expect = "quiet" },
    { name = "quiet for gaps", given = txs { n = 3, from = A, to = B, nonce = { 5, 9, 20 } }, expect = "quiet" },
    { name = "quiet for two senders", given = txs { n = 2, from = { A, B }, nonce = 7 }, expect = "quiet" },
  },
}
