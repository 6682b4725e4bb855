--- Money that moves from new address to new address and loses a little each time.
---@type cw.Rule
return rule {
  id = "eth.peel_chain",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Peel chain",
  description = "An address that was paid within the last day sends most of it to the next one, keeping or paying off a slice, "
    .. "and so did those before it. Long chains of this kind wear out whoever follows by hand; the slices are what is "
    .. "cashed out.",
  references = {
    "S. Meiklejohn et al., A Fistful of Bitcoins: Characterizing Payments Among Men with No Names, IMC 2013: peeling "
      .. "chains",
    "Elliptic, Typologies Report, 2024: chain peeling",
  },
  false_positives = { "change of wallets that move to a new address with each payment, as on chains with outputs" },
  tags = { "aml.layering", "aml.peel_chain" },
  params = {
    hops = 4,
    low = 0.75,              -- share of what came in that is sent on, at least
    high = 0.99,             -- and at most: more is passing through
    dwell = "24h",           -- at each address
    min_ether = 1,
    max_nonce = 5,           -- of the addresses on the way
    known = "exchange,custodian,bridge,payment,mining_pool",
  },
  when = function(p) return { kind = "transfer", min_ether = p.min_ether } end,
  state = function(p)
    return {
      got = window.last { key = "to", of = "value", n = 1, max_keys = 100000 },
      hop = window.last { key = "to", n = 1, max_keys = 100000 },   -- of the chain, at the receiver
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local got, hops = tx.nonce <= p.max_nonce and s.got:at(tx, 1, "from") or nil, 0
    if got and (s.got:age(tx, 1, "from") or 0) <= seconds(p.dwell) and tx.value >= p.low * got and tx.value <= p.high * got then
      hops = (s.hop:at(tx, 1, "from") or 0) + 1
    end
    s.got:add(tx)
    s.hop:add(tx, hops)
    if hops < p.hops or s.service:has(tx, "from") then return end
    return alert {
      score = math.min(0.4 + 0.06 * hops, 0.9),
      dedup = tx.from,
      explain = { hops = hops, limit = p.hops, ether_in = got / 1e18, ether_out = tx.ether, peeled = 1 - tx.value / got },
    }
  end,
  tests = {
    { name = "fires at the fourth hop",
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 5, from = { B, C, D, E, F }, to = { C, D, E, F, G },
        ether = { 95, 90, 84, 80, 76 }, nonce = 0, every = "20m" } },
      expect = { alerts = 2, first = 5, severity = "medium", dedup = E } },
    { name = "quiet when nothing is peeled off",
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 5, from = { B, C, D, E, F }, to = { C, D, E, F, G },
        ether = 99.99, nonce = 0 } }, expect = "quiet" },
    { name = "quiet when most of it stays",
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 5, from = { B, C, D, E, F }, to = { C, D, E, F, G },
        ether = { 50, 25, 12, 6, 3 }, nonce = 0 } }, expect = "quiet" },
    { name = "quiet for old wallets",
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 5, from = { B, C, D, E, F }, to = { C, D, E, F, G },
        ether = { 95, 90, 84, 80, 76 }, nonce = 70 } }, expect = "quiet" },
    { name = "quiet over weeks",
      given = { tx { from = A, to = B, ether = 100 }, txs { n = 5, from = { B, C, D, E, F }, to = { C, D, E, F, G },
        ether = { 95, 90, 84, 80, 76 }, nonce = 0, every = "3d", after = "3d" } }, expect = "quiet" },
  },
}
