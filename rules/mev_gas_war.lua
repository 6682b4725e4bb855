--- Many bid against each other for one call in the same block.
---@type cw.Rule
return rule {
  id = "eth.gas_war",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Gas war over one call",
  description = "Within one block many senders call the same function of the same contract and pay several times the market for it: "
    .. "a mint that sells out, a liquidation, or a mistake that everybody has seen. Fees of all others rise with it.",
  references = {
    "P. Daian et al., Flash Boys 2.0: Frontrunning in Decentralized Exchanges, IEEE S&P 2020: priority gas auctions",
  },
  false_positives = { "popular launches: the alert is about the market, not about a crime" },
  tags = { "mev", "gas" },
  params = {
    factor = 3,              -- times the market's price
    senders = 8,             -- of such calls in one block
  },
  when = { kind = "call" },
  state = function()
    return {
      market = stat.ewma { half_life = "10m", warm = 50 },
      rush = window.distinct { key = "to+selector+block", of = "from", span = "1m", max_keys = 2000 },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.gas_price <= 0 then return end
    local market = s.market:mean(tx)
    local price = math.log(tx.gas_price)
    local known = (s.market:count(tx) or 0) >= 50
    s.market:add(tx, price)
    if not known or price < market + math.log(p.factor) then return end
    local n = s.rush:add(tx)
    if n == nil or n < p.senders then return end
    return alert {
      score = math.min(0.2 + 0.02 * n, 0.7),
      dedup = tx.to,
      explain = { senders = n, limit = p.senders, gas_price_gwei = tx.gas_price_gwei, market_gwei = math.exp(market) / 1e9,
                  contract = tx.to, selector = tx.selector, block = tx.block },
    }
  end,
  tests = {
    { name = "fires at the eighth sender",
      given = { txs { n = 100, from = each, to = each, ether = 0, selector = "0xa9059cbb", gas_price_gwei = { 19, 21 } },
                txs { n = 8, from = each, to = X, ether = 0, selector = "0x1249c58b", gas_price_gwei = 400, block = 19000000 } },
      expect = { alerts = 1, first = 108, severity = "low", dedup = X } },
    { name = "quiet at the market's price",
      given = { txs { n = 100, from = each, to = each, ether = 0, selector = "0xa9059cbb", gas_price_gwei = { 19, 21 } },
                txs { n = 30, from = each, to = X, ether = 0, selector = "0x1249c58b", gas_price_gwei = 25, block = 19000000 } },
      expect = "quiet" },
    { name = "quiet for one rich sender",
      given = { txs { n = 100, from = each, to = each, ether = 0, selector = "0xa9059cbb", gas_price_gwei = { 19, 21 } },
                txs { n = 30, from = Z, to = X, ether = 0, selector = "0x1249c58b", gas_price_gwei = 400, block = 19000000 } },
      expect = "quiet" },
  },
}
