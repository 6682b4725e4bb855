--- A price a few wei above a round one: outbidding by a hair.
---@type cw.Rule
return rule {
  id = "eth.displacement",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Outbids by a few wei",
  role = "actor",
  description = "The gas price is a round number and a few wei more, the call carries data and no value: a bot that saw somebody "
    .. "else's transaction copies it and stands just before it. Needs prices that people chose; where the protocol sets "
    .. "most of the price, the trace is in the tip and mostly lost.",
  references = {
    "C. F. Torres, R. Camino, R. State, Frontrunner Jones and the Raiders of the Dark Forest, USENIX Security 2021: displacement",
    "P. Daian et al., Flash Boys 2.0: Frontrunning in Decentralized Exchanges, IEEE S&P 2020",
  },
  false_positives = { "wallets that add one wei to replace their own transaction; effective prices that end in zeros by chance" },
  tags = { "mev.displacement", "gas" },
  params = {
    round = 1000000,         -- wei: prices are multiples of this, or
    above = 999,             -- up to so many wei above one
    min_input = 100,         -- bytes
    min_gas = 60000,
    known = "exchange,bridge,oracle",
  },
  when = function(p) return { kind = "call", value = 0, min_input_size = p.min_input, min_gas = p.min_gas } end,
  state = function(p) return { service = list.contains { category = p.known } } end,
  evaluate = function(tx, s, p)
    local above = tx.gas_price % p.round
    if above < 1 or above > p.above or tx.gas_price < 1000 * p.round or s.service:has(tx, "to") then return end
    return alert {
      score = above <= 10 and 0.5 or 0.35,
      dedup = tx.from,
      explain = { gas_price_gwei = tx.gas_price_gwei, wei_above_round = above, contract = tx.to, selector = tx.selector,
                  sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for one wei", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492,
        gas_price = 5000000001 }, expect = { alerts = 1, severity = "low", dedup = A, min_score = 0.5 } },
    { name = "quiet for a round price", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492,
        gas_price = 5000000000 }, expect = "quiet" },
    { name = "quiet for a price of the protocol's", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372,
        gas = 441492, gas_price = 15123456789 }, expect = "quiet" },
    { name = "quiet for short calls", given = tx { from = A, to = T, ether = 0, selector = "0xa9059cbb", input_size = 68, gas = 65000,
        gas_price = 5000000001 }, expect = "quiet" },
  },
}
