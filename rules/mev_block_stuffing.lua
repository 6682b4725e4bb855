--- One contract fills blocks with calls that burn gas.
---@type cw.Rule
return rule {
  id = "eth.block_stuffing",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Block stuffing",
  role = "actor",
  description = "Calls of one kind, to one contract, with far more gas than their data explains and no value, take a good part of "
    .. "the space of blocks: suppression, which keeps others out until a clock has run down. Seen first with Fomo3D in 2018.",
  references = {
    "C. F. Torres, R. Camino, R. State, Frontrunner Jones and the Raiders of the Dark Forest, USENIX Security 2021: suppression",
    "S. Eskandari, S. Moosavi, J. Clark, SoK: Transparent Dishonesty: Front-running Attacks on Blockchain, 2019",
  },
  false_positives = { "contracts whose calls are honestly expensive and come in bursts: mints, batch settlements" },
  tags = { "mev.suppression", "gas" },
  params = {
    excess = 14,             -- times the gas that the size of the call data explains
    calls = 2,               -- within the window
    gas = 2000000,           -- of these calls together
    window = "20m",
    known = "bridge,oracle,rollup",
  },
  when = { kind = "call", value = 0, min_gas = 300000 },
  state = function(p)
    return {
      count = window.count { key = "to+selector", span = p.window, buckets = 8, max_keys = 20000 },
      gas = window.sum { key = "to+selector", of = "gas", span = p.window, buckets = 8, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local excess = tx.gas / (21000 + 68 * tx.input_size)
    if excess < p.excess then return end
    local n, gas = s.count:add(tx), s.gas:add(tx)
    if n == nil or n < p.calls or gas < p.gas or s.service:has(tx, "to") then return end
    return alert {
      score = math.min(0.4 + 0.1 * math.log10(gas / p.gas) + 0.01 * n, 0.9),
      dedup = tx.to,
      explain = { calls = n, gas = gas, limit_gas = p.gas, excess = excess, window = p.window, contract = tx.to,
                  selector = tx.selector, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires at the second call",
      given = txs { n = 3, from = each, to = X, ether = 0, selector = "0x2de9c013", input_size = 36, gas = 3500000 },
      expect = { alerts = 2, first = 2, severity = "medium", dedup = X } },
    { name = "quiet for token transfers",
      given = txs { n = 90, from = each, to = T, ether = 0, selector = "0xa9059cbb", input_size = 68, gas = 90000 }, expect = "quiet" },
    { name = "quiet for large calls", given = txs { n = 5, from = each, to = X, ether = 0, selector = "0x12345678", input_size = 5000,
        gas = 1500000 }, expect = "quiet" },
    { name = "quiet for one call", given = tx { to = X, ether = 0, selector = "0x2de9c013", gas = 3500000 }, expect = "quiet" },
    { name = "quiet when slow", given = txs { n = 5, to = X, ether = 0, selector = "0x2de9c013", gas = 3500000, every = "30m" }, expect = "quiet" },
  },
}
