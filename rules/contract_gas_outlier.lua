--- A call that uses far more gas than this call usually does.
---@type cw.Rule
return rule {
  id = "eth.gas_outlier",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Call with far more gas than usual",
  description = "The gas of a call (used where a receipt says so, else the limit) is many deviations above what calls of the same "
    .. "function of the same contract took before: a loop that was made long, a hook that was called back, an attack that does a "
    .. "hundred things at once.",
  references = {
    "NethermindEth, Forta Agents: multi gas threshold",
    "B. P. Welford, Note on a Method for Calculating Corrected Sums of Squares and Products, 1962",
  },
  false_positives = { "functions that work on lists: batches are as long as people make them" },
  tags = { "gas", "contract" },
  params = {
    deviations = 6,          -- of the logarithm
    factor = 4,              -- times the usual
    past = 30,               -- calls that must be known
    min_gas = 500000,
  },
  when = { kind = "call", min_gas = 60000 },
  state = function(p) return { usual = stat.welford { key = "to+selector", warm = p.past, max_keys = 20000 } } end,
  evaluate = function(tx, s, p)
    local gas = tx.gas_used or tx.gas
    local log = math.log(gas)
    if gas < p.min_gas then
      s.usual:add(tx, log)
      return
    end
    local mean, sd = s.usual:mean(tx), s.usual:sd(tx)
    local known = (s.usual:count(tx) or 0) >= p.past
    s.usual:add(tx, log)
    if not known or mean == nil then return end
    local z = (log - mean) / math.max(sd, 0.1)
    if z < p.deviations or log < mean + math.log(p.factor) then return end
    return alert {
      score = math.min(0.2 + 0.03 * z, 0.8),
      dedup = tx.to .. " " .. (tx.selector or ""),
      explain = { gas = gas, usual_gas = math.exp(mean), deviations = z, limit = p.deviations, selector = tx.selector, contract = tx.to,
                  sender = tx.from },
    }
  end,
  tests = {
    { name = "fires far above the usual",
      given = { txs { n = 50, from = each, to = X, ether = 0, selector = "0x38ed1739", gas = { 150000, 160000, 170000 } },
                tx { from = Z, to = X, ether = 0, selector = "0x38ed1739", gas = 9000000 } },
      expect = { alerts = 1, first = 51, severity = "low" } },
    { name = "takes what was used where it is known",
      given = { txs { n = 50, from = each, to = X, ether = 0, selector = "0x38ed1739", gas = 9000000, gas_used = { 150000, 160000 } },
                tx { from = Z, to = X, ether = 0, selector = "0x38ed1739", gas = 9000000, gas_used = 5000000 } },
      expect = { alerts = 1, first = 51 } },
    { name = "quiet where nothing is known", given = tx { to = X, selector = "0x38ed1739", gas = 9000000 }, expect = "quiet" },
    { name = "quiet where gas varies", given = txs { n = 90, from = each, to = X, selector = "0x38ed1739", gas = { 100000, 500000, 2000000, 9000000 } },
      expect = "quiet" },
  },
}
