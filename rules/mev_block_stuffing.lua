--- One contract fills blocks with calls that burn gas.
---@type cw.Rule
return rule {
  id = "eth.block_stuffing",  version = "1.1.0",  severity = "medium",  status = "stable",
  title = "Block stuffing",
  role = "actor",
  description = "Calls of one kind, to one contract, with far more gas than their data explains and no value, take a good part of "
    .. "the space of blocks: suppression, which keeps others out until a clock has run down. Seen first with Fomo3D in 2018. Once "
    .. "there is such a series, smaller calls of the same kind belong to it: they fill what space is left. When most of a block's gas is asked for "
    .. "within a minute by a few senders, and for as long as the series goes on from there, the severity is high.",
  references = {
    "C. F. Torres, R. Camino, R. State, Frontrunner Jones and the Raiders of the Dark Forest, USENIX Security 2021: suppression",
    "S. Eskandari, S. Moosavi, J. Clark, SoK: Transparent Dishonesty: Front-running Attacks on Blockchain, 2019",
  },
  false_positives = {
    "contracts whose calls are honestly expensive and come in bursts: mints, batch settlements; put them on a list as oracle, bridge or rollup",
    "bots that give every call far more gas than it needs",
  },
  tags = { "mev.suppression", "gas" },
  params = {
    excess = 14,             -- times the gas that the size of the call data explains
    min_gas = 300000,        -- of a call that counts
    calls = 2,               -- within the window
    gas = 2000000,           -- of these calls together
    window = "20m",
    small_excess = 4,        -- of a call that belongs to a series that is there
    small_gas = 60000,
    rush = "1m",             -- high: within this
    rush_gas = 6000000,      -- so much gas,
    rush_calls = 4,          -- by so many calls,
    rush_sender = 500000,    -- so much for each sender
    known = "bridge,oracle,rollup",
  },
  when = function(p) return { kind = "call", value = 0, min_gas = p.small_gas } end,
  state = function(p)
    return {
      count = window.count { key = "to+selector", span = p.window, buckets = 8, max_keys = 20000 },
      gas = window.sum { key = "to+selector", of = "gas", span = p.window, buckets = 8, max_keys = 20000 },
      rush = window.sum { key = "to+selector", of = "gas", span = p.rush, buckets = 6, max_keys = 20000 },
      rush_calls = window.count { key = "to+selector", span = p.rush, buckets = 6, max_keys = 20000 },
      senders = window.distinct { key = "to+selector", of = "from", span = p.rush, buckets = 6, capacity = 32, max_keys = 5000 },
      hot = key.first_seen { key = "to+selector", max_keys = 2000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local excess = tx.gas / (21000 + 68 * tx.input_size)
    if excess < p.small_excess then return end
    local counts = excess >= p.excess and tx.gas >= p.min_gas
    local n, gas
    if counts then n, gas = s.count:add(tx), s.gas:add(tx)
    else
      n = s.count:get(tx)
      if n == nil or n < p.calls then return end
      gas = s.gas:get(tx)
    end
    if counts and n ~= nil then
      local rush, calls, senders = s.rush:add(tx), s.rush_calls:add(tx), s.senders:add(tx)
      if rush >= p.rush_gas and calls >= p.rush_calls and rush >= p.rush_sender * senders then s.hot:add(tx) end
    end
    if n == nil or n < p.calls or gas < p.gas or s.service:has(tx, "to") then return end
    local idle = s.hot:idle(tx)
    local high = idle ~= nil and idle <= seconds(p.window)
    return alert {
      score = math.min(0.4 + 0.1 * math.log10(gas / p.gas) + 0.01 * n + (high and 0.2 or 0), 0.95),
      severity = high and "high" or nil,
      dedup = tx.to,
      explain = { calls = n, gas = gas, limit_gas = p.gas, excess = excess, window = p.window, contract = tx.to,
                  selector = tx.selector, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires at the second call",
      given = txs { n = 3, from = each, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 3500000, every = "1m" },
      expect = { alerts = 2, first = 2, severity = "medium", dedup = X } },
    { name = "is high when a minute is filled, and stays so",
      given = { txs { n = 5, from = { A, B }, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 2000000, every = "5s" },
                tx { from = A, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 2000000, after = "10m" } },
      params = { calls = 4 }, expect = { alerts = 3, first = 4, severity = "high" } },
    { name = "is medium when many people call",
      given = txs { n = 40, from = each, to = X, ether = 0, selector = "0x2de9c013", input_size = 4, gas = 310000, every = "1s" },
      params = { gas = 6200000 }, expect = { alerts = 21, first = 20, severity = "medium", living = 1 } },
    { name = "takes small calls of a series for its own",
      given = { txs { n = 2, from = each, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 3500000 },
                tx { from = A, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 125000 } },
      expect = { alerts = 2, first = 2 } },
    { name = "quiet for small calls alone",
      given = txs { n = 90, from = A, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 125000 }, expect = "quiet" },
    { name = "quiet for token transfers",
      given = txs { n = 90, from = each, to = T, ether = 0, selector = "0xa9059cbb", input_size = 68, gas = 90000 }, expect = "quiet" },
    { name = "quiet for large calls", given = txs { n = 5, from = each, to = X, ether = 0, selector = "0x12345678", input_size = 5000,
        gas = 1500000 }, expect = "quiet" },
    { name = "quiet for one call", given = tx { to = X, ether = 0, selector = "0x2de9c013", gas = 3500000 }, expect = "quiet" },
    { name = "quiet when slow", given = txs { n = 5, to = X, ether = 0, selector = "0x2de9c013", gas = 3500000, every = "30m" }, expect = "quiet" },
  },
}
