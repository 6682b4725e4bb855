--- One sender before and after others at the same contract in one block.
---@type cw.Rule
return rule {
  id = "eth.sandwich",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Sandwich",
  role = "actor",
  description = "Within one block a sender calls a contract, others call it, and the sender calls it again: bought before them and "
    .. "sold after them, at their cost. The victims are the ones in between. Seen where the bot and its victims call the same "
    .. "contract; bots with contracts of their own show in traces only.",
  references = {
    "L. Zhou et al., High-Frequency Trading on Decentralized On-Chain Exchanges, IEEE S&P 2021",
    "K. Qin, L. Zhou, A. Gervais, Quantifying Blockchain Extractable Value, IEEE S&P 2022, section 4.1",
  },
  false_positives = { "people who use one contract twice in a block" },
  tags = { "mev.sandwich" },
  params = {
    most = 3,                -- victims; more lie between by chance
    known = "exchange,bridge,stablecoin",
  },
  when = { kind = "call", min_gas = 90000, min_input_size = 100 },
  state = function(p)
    return {
      squeeze = sequence.sandwich { priced = true, max_keys = 3000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.squeeze:add(tx)
    if n == nil or n == 0 or n > p.most or s.service:has(tx, "to") then return end
    return alert {
      score = 0.4,
      dedup = tx.from,
      explain = { victims = n, contract = tx.to, block = tx.block, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires around one victim", given = txs { n = 3, from = { Z, A, Z }, to = R, ether = 0, selector = "0x38ed1739", input_size = 260, gas = 200000,
        gas_price_gwei = { 60, 50, 50 }, block = 18000000, index = { 1, 2, 3 } }, expect = { alerts = 1, first = 3, severity = "low", dedup = Z } },
    { name = "quiet over two blocks", given = txs { n = 3, from = { Z, A, Z }, to = R, selector = "0x38ed1739", input_size = 260, gas = 200000,
        block = { 18000000, 18000000, 18000001 } }, expect = "quiet" },
    { name = "quiet for a crowd", given = txs { n = 9, from = { Z, A, B, C, D, E, F, G, Z }, to = R, selector = "0x38ed1739", input_size = 260, gas = 200000,
        block = 18000000 }, expect = "quiet" },
    { name = "quiet for plain transfers", given = txs { n = 3, from = { Z, A, Z }, to = R, block = 18000000 }, expect = "quiet" },
  },
}
