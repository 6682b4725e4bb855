--- Who made a token and its market takes the market away.
---@type cw.Rule
return rule {
  id = "eth.rug_pull",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Liquidity removed by the one who made the token",
  role = "actor",
  description = "An address creates a contract, gives liquidity to an exchange, and takes it out again within days: buyers are left "
    .. "with a token that cannot be sold. Where receipts name the created contract and it is the very token, the confidence is "
    .. "higher.",
  references = {
    "P. Xia et al., Trade or Trick? Detecting and Characterizing Scam Tokens on Uniswap Decentralized Exchange, 2021",
    "B. Mazorra, V. Adan, V. Daza, Do Not Rug on Me: Zero-dimensional Scam Detection, 2022",
  },
  false_positives = { "projects that move their liquidity to another exchange" },
  tags = { "fraud.rug_pull" },
  params = {
    window = "14d",
    add = { "0xf305d719", "0xe8e33700" },            -- addLiquidityETH, addLiquidity
    remove = { "0x02751cec", "0xbaa2abde", "0xded9382a", "0x2195995c", "0xaf2979eb", "0x5b0d5984" },   -- removeLiquidity...
  },
  when = function(p) return { { kind = "creation" }, { selector = p.add }, { selector = p.remove } } end,
  state = function(p)
    return {
      course = sequence.steps { key = "from", steps = 3, span = p.window, max_keys = 50000 },
      token = key.first_seen { key = "created", max_keys = 50000 },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.status == 0 then return end
    if tx.is_creation then
      s.token:add(tx)
      s.course:step(tx, 1)
      return
    end
    for _, selector in ipairs(p.add) do
      if selector == tx.selector then
        s.course:step(tx, 2)
        return
      end
    end
    if s.course:step(tx, 3) ~= 3 then return end
    local own = s.token:age(tx, "arg1")
    return alert {
      score = own and 0.95 or 0.75,
      dedup = tx.from,
      explain = { token = tx.arg1, token_is_own = own ~= nil, token_days_old = own and own / 86400, deployer = tx.from,
                  exchange = tx.to, window = p.window },
    }
  end,
  tests = {
    { name = "fires for the whole course",
      given = { tx { from = A, creation = true, created = T, ether = 0 },
                tx { from = A, to = R, ether = 10, selector = "0xf305d719", arg1 = T, after = "1h" },
                tx { from = A, to = R, ether = 0, selector = "0x02751cec", arg1 = T, after = "1d" } },
      expect = { alerts = 1, first = 3, severity = "high", dedup = A, min_score = 0.9 } },
    { name = "fires without receipts",
      given = { tx { from = A, creation = true, ether = 0 }, tx { from = A, to = R, ether = 10, selector = "0xf305d719" },
                tx { from = A, to = R, ether = 0, selector = "0xbaa2abde", after = "1d" } },
      expect = { alerts = 1, severity = "high", max_score = 0.8 } },
    { name = "quiet for somebody who only gives and takes",
      given = { tx { from = A, to = R, ether = 10, selector = "0xf305d719" }, tx { from = A, to = R, selector = "0x02751cec" } },
      expect = "quiet" },
    { name = "quiet after months",
      given = { tx { from = A, creation = true }, tx { from = A, to = R, ether = 10, selector = "0xf305d719" },
                tx { from = A, to = R, selector = "0x02751cec", after = "60d" } }, expect = "quiet" },
  },
}
