--- An address that looks like one the victim knows.
---@type cw.Rule
local LIKE_B = "0x4242" .. ("9"):rep(32) .. "4242"    -- begins and ends like B

return rule {
  id = "eth.lookalike_address",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Address that looks like a known one",
  description = "Two addresses that begin and end alike are one and the same to people, and never by chance. Either an account is "
    .. "sent dust from an address that looks like one it has paid: bait (medium). Or it pays, in ether or tokens, an address "
    .. "that looks like one it paid before: the bait was taken (high).",
  references = {
    "T. Tsuchiya et al., Blockchain Address Poisoning, USENIX Security 2025",
    "Forta Network, Starter Kits: address poisoning",
  },
  false_positives = { "vanity addresses of one owner with equal beginnings and ends" },
  tags = { "fraud.address_poisoning" },
  params = {
    dust_ether = 0.005,      -- up to this a payment is bait
    least = 0.1,             -- ether; smaller payments between this and dust are not remembered
    max_pairs = 100000,      -- of payer and receiver that are remembered
  },
  when = function(p)
    return { { kind = "transfer", min_ether = p.least }, { kind = "transfer", max_ether = p.dust_ether }, { selector = "0xa9059cbb" } }
  end,
  state = function(p) return { known = key.lookalike { max_keys = p.max_pairs } } end,
  evaluate = function(tx, s, p)
    local token = tx.input_size > 0
    local paid
    if token then
      paid = s.known:add(tx, "from", "arg1")
    else
      local bait = tx.ether <= p.dust_ether and s.known:like(tx, "to", "from") or nil
      if bait then
        return alert {
          score = 0.6,
          dedup = tx.from,
          explain = { what = "bait", imitation = tx.from, victim = tx.to, ether = tx.ether, seconds_since_payment = bait },
        }
      end
      if tx.ether < p.least then return end
      paid = s.known:add(tx)
    end
    if paid == nil then return end
    return alert {
      score = 0.9,
      severity = "high",
      dedup = token and tx.arg1 or tx.to,
      entity = tx.from,  role = "victim",
      explain = { what = "paid the imitation", imitation = token and tx.arg1 or tx.to, victim = tx.from, token = token and tx.to or nil,
                  ether = tx.ether, seconds_since_payment = paid },
    }
  end,
  tests = {
    { name = "is medium for bait", given = { tx { from = A, to = B, ether = 5 }, tx { from = LIKE_B, to = A, ether = 0.0001 } },
      expect = { alerts = 1, first = 2, severity = "medium", dedup = LIKE_B } },
    { name = "is high when the bait is taken",
      given = { tx { from = A, to = B, ether = 5 }, tx { from = A, to = LIKE_B, ether = 5, after = "1h" } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = LIKE_B } },
    { name = "is high for tokens",
      given = txs { n = 2, from = A, to = T, ether = 0, selector = "0xa9059cbb", arg1 = { B, LIKE_B }, arg2 = 1000 },
      expect = { alerts = 1, first = 2, severity = "high", dedup = LIKE_B } },
    { name = "quiet for the address itself", given = txs { n = 9, from = A, to = B, ether = 5 }, expect = "quiet" },
    { name = "quiet for others", given = txs { n = 30, from = A, to = { B, C, D, E }, ether = 5 }, expect = "quiet" },
    { name = "quiet for a stranger's dust", given = { tx { from = A, to = B, ether = 5 }, tx { from = LIKE_B, to = C, ether = 0 } },
      expect = "quiet" },
  },
}
