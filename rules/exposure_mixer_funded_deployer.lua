--- A contract is created by somebody whose money came out of a mixer.
---@type cw.Rule
return rule {
  id = "eth.mixer_funded_deployer",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Contract deployed with money from a mixer",
  description = "An address that was paid by a mixer, an exploiter or a service without identification in the last days "
    .. "creates a contract. Most attacks on protocols begin like this, hours to days before the theft: it is the "
    .. "earliest sign there is.",
  references = {
    "L. Zhou et al., SoK: Decentralized Finance (DeFi) Attacks, IEEE S&P 2023: adversarial preparation",
    "Forta Network, Threat Detection Kits, DeFi protocols: funding and preparation stages",
  },
  false_positives = { "developers who value privacy" },
  tags = { "attack.preparation", "mixer" },
  params = {
    funders = "mixer,sanctioned,exploiter,instant_exchange",
    window = "7d",
  },
  when = function(p) return { { from_listed = p.funders, min_value = 1 }, { kind = "creation" } } end,
  state = function(p)
    return {
      funded = key.first_seen { key = "to", max_keys = 50000 },
      bad = list.contains { category = p.funders },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.value > 0 and s.bad:has(tx, "from") then s.funded:add(tx) end
    if not tx.is_creation then return end
    local idle = s.funded:idle(tx, "from")
    if idle == nil or idle > seconds(p.window) then return end
    return alert {
      score = 0.9 - 0.3 * idle / seconds(p.window),
      severity = tx.status == 0 and "medium" or nil,
      dedup = tx.from,
      explain = { hours_since_funding = idle / 3600, window = p.window, deployer = tx.from, bytes = tx.input_size },
    }
  end,
  tests = {
    { name = "fires for a creation soon after", lists = { [B] = "mixer" },
      given = { tx { from = B, to = A, ether = 10 }, tx { from = A, creation = true, ether = 0, after = "5h" } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = A } },
    { name = "quiet after a month", lists = { [B] = "mixer" },
      given = { tx { from = B, to = A, ether = 10 }, tx { from = A, creation = true, after = "30d" } }, expect = "quiet" },
    { name = "quiet for other money", lists = { [B] = "exchange" },
      given = { tx { from = B, to = A, ether = 10 }, tx { from = A, creation = true } }, expect = "quiet" },
    { name = "quiet without a creation", lists = { [B] = "mixer" },
      given = { tx { from = B, to = A, ether = 10 }, tx { from = A, to = C, ether = 9 } }, expect = "quiet" },
  },
}
