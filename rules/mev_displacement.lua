--- A price a few wei above a round one: outbidding by a hair.
---@type cw.Rule
return rule {
  id = "eth.displacement",  version = "1.1.0",  severity = "low",  status = "stable",
  title = "Outbids by a few wei",
  role = "actor",
  description = "The gas price is a round number and a few wei more, the call carries data and no value: a bot that saw somebody "
    .. "else's transaction copies it and stands just before it. Once is chance and low; a sender who does it again within a week lives from "
    .. "it: medium, and high from the tenth time of a day on. Needs prices that people chose; where the protocol sets "
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
    fine = 10000,            -- of a sender who has done it before: prices up to
    fine_above = 9,          -- so many wei above a multiple of this
    min_input = 100,         -- bytes
    min_gas = 60000,
    again = 3,               -- times of a sender in the window: medium
    window = "7d",
    often = 10,              -- times of a sender in a day: high
    known = "exchange,bridge,oracle",
  },
  cooldown = "1d",
  when = function(p) return { kind = "call", value = 0, min_input_size = p.min_input, min_gas = p.min_gas } end,
  state = function(p)
    return {
      times = window.count { key = "from", span = p.window, buckets = 14, max_keys = 10000 },
      today = window.count { key = "from", span = "1d", buckets = 8, max_keys = 10000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local price = tx.gas_price
    if price < 1000 * p.round then return end
    local above = price % p.round
    if above < 1 or above > p.above then
      above = price % p.fine
      if above < 1 or above > p.fine_above or (s.times:get(tx) or 0) < p.again then return end
    end
    if s.service:has(tx, "to") then return end
    local times, today = s.times:add(tx) or 1, s.today:add(tx) or 1
    local again = times >= p.again
    return alert {
      score = (above <= 10 and 0.5 or 0.35) + (again and 0.1 or 0) + (today >= p.often and 0.1 or 0),
      severity = today >= p.often and "high" or again and "medium" or nil,
      dedup = tx.from,
      explain = { gas_price_gwei = tx.gas_price_gwei, wei_above_round = above, times = times, contract = tx.to, selector = tx.selector,
                  sender = tx.from },
    }
  end,
  tests = {
    { name = "fires for one wei", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492,
        gas_price = 5000000001 }, expect = { alerts = 1, severity = "low", dedup = A, min_score = 0.5 } },
    { name = "is medium the third time, high the tenth",
      given = txs { n = 10, from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492,
        gas_price = 5000000001, every = "1h" }, expect = { alerts = 10, living = 1, severity = "low", first = 1 } },
    { name = "is medium at once for who did it before",
      given = { txs { n = 2, from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492, gas_price = 5000000001 },
                tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492, gas_price = 5000120001, after = "1h" } },
      params = { again = 2 }, expect = { alerts = 3 } },
    { name = "quiet for a fine price of somebody new",
      given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492, gas_price = 5000120001 },
      expect = "quiet" },
    { name = "quiet for a round price", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372, gas = 441492,
        gas_price = 5000000000 }, expect = "quiet" },
    { name = "quiet for a price of the protocol's", given = tx { from = A, to = X, ether = 0, selector = "0xab5898e8", input_size = 1372,
        gas = 441492, gas_price = 15123456789 }, expect = "quiet" },
    { name = "quiet for short calls", given = tx { from = A, to = T, ether = 0, selector = "0xa9059cbb", input_size = 68, gas = 65000,
        gas_price = 5000000001 }, expect = "quiet" },
  },
}
