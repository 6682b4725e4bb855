--- An account's first money comes from a service that asks no questions.
---@type cw.Rule
return rule {
  id = "eth.risky_funding",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "New account funded by a service without identification",
  description = "The first transaction of an account, a call or a creation, is paid with money from a mixer, an instant "
    .. "exchange or a bridge. By itself this says little; together with what the account does next it is the first "
    .. "stage of an attack.",
  references = {
    "Forta Network, Threat Detection Kits, DeFi protocols: funding stage",
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: source of funds",
  },
  false_positives = { "ordinary users of bridges: take `bridge` out of `funders` where there are many" },
  tags = { "attack.funding", "account.new" },
  params = {
    funders = "mixer,instant_exchange,bridge",
    window = "2d",
    known = "exchange,bridge",
  },
  when = function(p)
    return { { from_listed = p.funders, min_value = 1 }, { kind = { "creation", "call" }, nonce = 0 } }
  end,
  state = function(p)
    return {
      funded = key.first_seen { key = "to", max_keys = 100000 },
      bad = list.contains { category = p.funders },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.value > 0 and s.bad:has(tx, "from") then
      s.funded:add(tx)
      return
    end
    if tx.nonce > 0 or tx.input_size == 0 then return end
    local age = s.funded:age(tx, "from")
    if age == nil or age > seconds(p.window) or s.service:has(tx, "to") then return end
    return alert {
      score = tx.is_creation and 0.5 or 0.3,
      dedup = tx.from,
      explain = { hours_since_funding = age / 3600, creation = tx.is_creation, selector = tx.selector, account = tx.from },
    }
  end,
  tests = {
    { name = "fires for the first call", lists = { [B] = "mixer" },
      given = { tx { from = B, to = A, ether = 1 },
                tx { from = A, to = C, nonce = 0, ether = 0, selector = "0x1249c58b", after = "1h" } },
      expect = { alerts = 1, first = 2, severity = "low", dedup = A } },
    { name = "quiet later", lists = { [B] = "mixer" },
      given = { tx { from = B, to = A, ether = 1 }, tx { from = A, to = C, nonce = 1, selector = "0x1249c58b" } },
      expect = "quiet" },
    { name = "quiet for money of known origin", lists = { [B] = "exchange" },
      given = { tx { from = B, to = A, ether = 1 }, tx { from = A, to = C, nonce = 0, selector = "0x1249c58b" } },
      expect = "quiet" },
  },
}
