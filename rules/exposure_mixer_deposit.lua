--- Ether paid into a mixer.
---@type cw.Rule
return rule {
  id = "eth.mixer_deposit",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Deposit into a mixer",
  description = "Ether goes to an address that is listed as a mixer. The severity follows what the sender has put in within a "
    .. "day: a hundred ether is high, a thousand critical.",
  references = {
    "U.S. Department of the Treasury, Press Release on Tornado Cash, 8 August 2022",
    "M. Wu et al., Tutela: An Open-Source Tool for Assessing User-Privacy on Ethereum and Tornado Cash, 2022",
  },
  false_positives = { "people who want privacy for lawful money" },
  tags = { "mixer", "aml.placement" },
  params = {
    mixers = "mixer",
    min_ether = 0.05,
    high_ether = 100,        -- in a day
    critical_ether = 1000,
    window = "24h",
  },
  when = function(p) return { to_listed = p.mixers, min_ether = p.min_ether } end,
  state = function(p)
    return {
      sum = window.sum { key = "from", of = "value", span = p.window, max_keys = 20000 },
      mixer = list.contains { category = p.mixers },
    }
  end,
  evaluate = function(tx, s, p)
    local sum = (s.sum:add(tx) or tx.value) / 1e18
    return alert {
      score = math.min(0.5 + 0.15 * math.log10(1 + sum), 1),
      confidence = s.mixer:confidence(tx, "to"),
      severity = sum >= p.critical_ether and "critical" or sum >= p.high_ether and "high" or nil,
      dedup = tx.from,
      explain = { ether = tx.ether, ether_in_window = sum, high = p.high_ether, window = p.window, mixer = tx.to,
                  name = s.mixer:name(tx, "to") },
    }
  end,
  tests = {
    { name = "fires for a deposit", lists = { [B] = "mixer" }, given = tx { from = A, to = B, ether = 1 },
      expect = { alerts = 1, severity = "medium", dedup = A } },
    { name = "is high for a hundred at once", lists = { [B] = "mixer" }, given = tx { from = A, to = B, ether = 100 },
      expect = { severity = "high" } },
    { name = "adds up over the day", lists = { [B] = "mixer" },
      given = txs { n = 12, from = A, to = B, ether = 100, every = "5m", selector = "0xb214faa5" },
      expect = { alerts = 12, min_score = 0.7 } },
    { name = "quiet for other receivers", lists = { [B] = "exchange" }, given = tx { from = A, to = B, ether = 100 },
      expect = "quiet" },
    { name = "quiet for dust", lists = { [B] = "mixer" }, given = tx { from = A, to = B, ether = 0.001 }, expect = "quiet" },
  },
}
