--- Money that comes out of a mixer, and calls that take it out.
---@type cw.Rule
return rule {
  id = "eth.mixer_withdrawal",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Withdrawal from a mixer",
  role = "actor",
  description = "A listed mixer, or one of its relayers, pays an address, or somebody calls the withdrawal of a listed mixer "
    .. "(then the receiver stands in the proof and the caller is a relayer or the owner). Large amounts are high: the "
    .. "receiver is where the trail begins again.",
  references = {
    "U.S. Department of the Treasury, Press Release on Tornado Cash, 8 August 2022",
    "M. Wu et al., Tutela: An Open-Source Tool for Assessing User-Privacy on Ethereum and Tornado Cash, 2022",
  },
  false_positives = { "people who want privacy for lawful money; relayers that pay their own costs" },
  tags = { "mixer", "aml.layering" },
  params = {
    mixers = "mixer",
    min_ether = 0.05,
    high_ether = 50,
    known = "exchange,custodian",
    calls = { "0x21a0adb6", "0xb438689f" },   -- withdraw(...) of the pools and of their router
  },
  when = function(p)
    return { { from_listed = p.mixers, min_ether = p.min_ether }, { to_listed = p.mixers, selector = p.calls } }
  end,
  state = function(p)
    return {
      mixer = list.contains { category = p.mixers },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if s.mixer:has(tx, "from") then
      if s.service:has(tx, "to") then return end
      return alert {
        score = math.min(0.5 + 0.15 * math.log10(1 + tx.ether), 1),
        confidence = s.mixer:confidence(tx, "from"),
        severity = tx.ether >= p.high_ether and "high" or nil,
        dedup = tx.to or tx.from,
        explain = { ether = tx.ether, high = p.high_ether, mixer = tx.from, receiver = tx.to, name = s.mixer:name(tx, "from") },
      }
    end
    return alert {
      score = 0.4,
      confidence = s.mixer:confidence(tx, "to"),
      severity = "low",
      dedup = tx.from,
      explain = { caller = tx.from, mixer = tx.to, name = s.mixer:name(tx, "to"), selector = tx.selector },
    }
  end,
  tests = {
    { name = "fires for the receiver", lists = { [B] = "mixer" }, given = tx { from = B, to = C, ether = 10 },
      expect = { alerts = 1, severity = "medium", dedup = C } },
    { name = "is high for a large amount", lists = { [B] = "mixer" }, given = tx { from = B, to = C, ether = 100 },
      expect = { severity = "high" } },
    { name = "is low for the call", lists = { [B] = "mixer" },
      given = tx { from = A, to = B, ether = 0, selector = "0x21a0adb6" },
      expect = { alerts = 1, severity = "low", dedup = A } },
    { name = "quiet for other calls", lists = { [B] = "mixer" },
      given = tx { from = A, to = B, ether = 0, selector = "0xa9059cbb" }, expect = "quiet" },
    { name = "quiet for strangers", given = tx { from = B, to = C, ether = 10 }, expect = "quiet" },
  },
}
