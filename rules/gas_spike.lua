--- A gas price many times the market's of the last minutes.
---@type cw.Rule
return rule {
  id = "eth.gas_spike",  version = "1.1.0",  severity = "medium",  status = "stable",
  title = "Gas price far above the market",
  description = "The sender pays many times the current price of gas: a race against others (front-running, a rescue, "
    .. "an exploit that must not be copied) or a mistake. The market is a fading mean of logarithms over event time, "
    .. "so that the baseline follows the daily rhythm and a few extreme prices do not move it.",
  references = {
    "P. Daian et al., Flash Boys 2.0: Frontrunning in Decentralized Exchanges, 2020",
    "C. Torres, R. Camino, R. State, Frontrunner Jones and the Raiders of the Dark Forest, 2021",
  },
  false_positives = { "a block stuffed by one sender at a low price makes ordinary prices look high for some minutes" },
  tags = { "mev", "gas" },
  params = {
    factor = 8,              -- times the market
    absurd = 200,            -- times the market, from which on the severity is high
    score = 4,               -- standard deviations of the logarithm above the market's mean
    half_life = "10m",       -- of the market's memory
    min_gwei = 10,           -- below this no price is a spike
    least_traffic = 50,      -- transactions of the last half hour, below which there is no market to compare with
  },
  state = function(p)
    return {
      market = stat.ewma { half_life = p.half_life, warm = 50 },
      traffic = window.count { span = "30m" },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.traffic:add(tx)
    if tx.gas_price <= 0 then return end
    local mean = s.market:mean(tx)
    local z = s.market:add(tx, math.log(tx.gas_price))
    if z == nil or z < p.score or n < p.least_traffic or tx.gas_price_gwei < p.min_gwei then return end
    local market = math.exp(mean)
    local factor = tx.gas_price / market
    if factor < p.factor then return end
    return alert {
      score = 1 - 0.5 * p.factor / factor,
      severity = factor >= p.absurd and "high" or nil,
      dedup = tx.from,
      explain = {
        gas_price_gwei = tx.gas_price_gwei, market_gwei = market / 1e9, factor = factor, limit = p.factor,
        deviations = z, sender = tx.from,
      },
    }
  end,
  tests = {
    { name = "quiet while there is no market", given = { txs { n = 20 }, tx { gas_price_gwei = 5000 } },
      expect = "quiet" },
    { name = "fires at many times the market",
      given = { txs { n = 200, gas_price_gwei = { 18, 20, 22, 25, 30 } }, tx { from = C, gas_price_gwei = 900 } },
      expect = { alerts = 1, first = 201, dedup = C, severity = "medium" } },
    { name = "is high for the absurd",
      given = { txs { n = 200, gas_price_gwei = { 18, 20, 22, 25, 30 } }, tx { from = C, gas_price_gwei = 90000 } },
      expect = { alerts = 1, severity = "high" } },
    { name = "quiet for a busy market", given = { txs { n = 200, gas_price_gwei = { 18, 20, 22, 25, 30 } },
      tx { gas_price_gwei = 100 } }, expect = "quiet" },
    { name = "quiet when the whole market rises",
      given = txs { n = 400, every = "6s", gas_price_gwei = { 20, 20, 25, 25, 30, 35, 40, 45 } }, expect = "quiet" },
    { name = "quiet when gas is cheap",
      given = { txs { n = 200, gas_price_gwei = { 0.1, 0.2 } }, tx { gas_price_gwei = 5 } }, expect = "quiet" },
  },
}
