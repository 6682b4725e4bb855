--- The stages of an attack on one account: funding, preparation, exploitation, laundering.
---@type cw.Rule
return rule {
  id = "eth.attack_stages",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Several stages of an attack on one account",
  role = "actor",
  description = "Attacks on protocols go through the same stages: money without a name, a contract of one's own, one very expensive "
    .. "call, and then a mixer, a bridge or dispersal. Each is common by itself; an account that went through three of them "
    .. "within days is not. All four are critical.",
  references = {
    "Forta Network, Attack Detector: alert combination over the four stages",
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023: attack life cycle",
  },
  false_positives = { "developers who value privacy and deploy often" },
  tags = { "attack" },
  params = {
    window = "7d",
    stages = 3,
    heavy_gas = 1000000,     -- of the call that may be the exploit, within two days of the creation
    funders = "mixer,sanctioned,exploiter,instant_exchange",
    launder = "mixer,bridge,instant_exchange",
  },
  when = function(p)
    return { { from_listed = p.funders, min_value = 1 }, { kind = "creation" }, { to_listed = p.launder, min_ether = 0.1 },
             { kind = "call", min_gas = p.heavy_gas } }
  end,
  state = function(p)
    return {
      funded = key.first_seen { key = "to", max_keys = 50000 },
      prepared = key.first_seen { key = "from", max_keys = 50000 },
      exploited = key.first_seen { key = "from", max_keys = 50000 },
      laundered = key.first_seen { key = "from", max_keys = 50000 },
      source = list.contains { category = p.funders },
      sink = list.contains { category = p.launder },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.value > 0 and s.source:has(tx, "from") then s.funded:add(tx) end
    if tx.status == 0 then return end
    local span = seconds(p.window)
    if tx.is_creation then
      s.prepared:add(tx)
    elseif tx.ether >= 0.1 and s.sink:has(tx, "to") then
      s.laundered:add(tx)
    elseif tx.gas >= p.heavy_gas and (s.prepared:idle(tx) or 1 / 0) <= seconds("2d") then
      s.exploited:add(tx)
    else
      return
    end
    local funded = (s.funded:idle(tx, "from") or 1 / 0) <= span
    local prepared = (s.prepared:idle(tx) or 1 / 0) <= span
    local exploited = (s.exploited:idle(tx) or 1 / 0) <= span
    local laundered = (s.laundered:idle(tx) or 1 / 0) <= span
    local n = (funded and 1 or 0) + (prepared and 1 or 0) + (exploited and 1 or 0) + (laundered and 1 or 0)
    -- Preparing and calling alone is what every developer does.
    if n < p.stages or not funded and not laundered then return end
    return alert {
      score = n == 4 and 1 or 0.8,
      severity = n == 4 and "critical" or not funded and "medium" or nil,
      dedup = tx.from,
      explain = { stages = n, limit = p.stages, funding = funded, preparation = prepared, exploitation = exploited,
                  laundering = laundered, window = p.window, account = tx.from },
    }
  end,
  tests = {
    { name = "is high at the third stage", lists = { [M] = "mixer" },
      given = { tx { from = M, to = A, ether = 10 }, tx { from = A, creation = true, ether = 0, gas = 3e6, after = "1h" },
                tx { from = A, to = X, ether = 0, selector = "0x12345678", gas = 5e6, after = "1h" } },
      expect = { alerts = 1, first = 3, severity = "high", dedup = A } },
    { name = "is critical at the fourth", params = { stages = 4 }, lists = { [M] = "mixer" },
      given = { tx { from = M, to = A, ether = 10 }, tx { from = A, creation = true, ether = 0, gas = 3e6, after = "1h" },
                tx { from = A, to = X, ether = 0, selector = "0x12345678", gas = 5e6, after = "1h" },
                tx { from = A, to = M, ether = 100, selector = "0xb214faa5", gas = 1e6, after = "1h" } },
      expect = { alerts = 1, first = 4, severity = "critical" } },
    { name = "quiet for a developer", given = { tx { from = A, creation = true, ether = 0, gas = 3e6 },
        txs { n = 5, from = A, to = X, ether = 0, selector = "0x12345678", gas = 5e6 } }, expect = "quiet" },
    { name = "quiet over weeks", lists = { [M] = "mixer" },
      given = { tx { from = M, to = A, ether = 10 }, tx { from = A, creation = true, ether = 0, gas = 3e6, after = "30d" },
                tx { from = A, to = X, ether = 0, selector = "0x12345678", gas = 5e6, after = "1h" } }, expect = "quiet" },
  },
}
