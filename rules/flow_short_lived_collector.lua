--- A young address that many different people pay, and that keeps nothing.
---@type cw.Rule
local FROM = 3    -- payers, from which on amounts are added up: most addresses never have so many

return rule {
  id = "eth.short_lived_collector",  version = "1.1.0",  severity = "medium",  status = "stable",
  title = "Young address collects from many and keeps nothing",
  role = "actor",
  description = "An address that came up months ago at most has been paid by several people, few of them again and again, in sums that "
    .. "people lose to a swindler rather than pay for a house, and has sent on nearly all of it. Of known phishing accounts four in five look "
    .. "like this at some time of their lives, of ordinary large ones four in a hundred: these are paid by the same few, and keep "
    .. "something. With few payers the severity is low: people who move from one exchange to another look alike.",
  references = {
    "W. Chen et al., Phishing Scam Detection on Ethereum: Towards Financial Security for Blockchain Ecosystem, IJCAI 2020",
    "J. Wu et al., Who Are the Phishers? Phishing Scam Detection on Ethereum via Network Embedding, 2020",
  },
  false_positives = {
    "collections for a cause; addresses made for one sale; small sellers who cash out every week",
    "somebody who is paid out by several wallets of one exchange and pays all into another one",
    "deposit addresses that an exchange gives to everybody: put its wallets on a list",
  },
  tags = { "fraud.phishing", "aml.collection" },
  params = {
    payers = 4,              -- different ones in the window: low
    many = 6,                -- medium
    window = "180d",
    young = "180d",          -- since the third payer
    different = 0.5,         -- payers for each payment
    share = 0.9,             -- of what came in that has gone out
    min_ether = 0.3,         -- that came in
    mean_ether = 20,         -- a payment at most: above it this is business
    least = 0.05,            -- ether; smaller payments do not count
    established = 1000,      -- from this nonce on the address is a service
    known = "exchange,custodian,bridge,payment,mining_pool,faucet",
  },
  cooldown = "1d",
  when = function(p) return { kind = "transfer", min_ether = p.least } end,
  state = function(p)
    return {
      paid = key.first_seen { key = "to", max_keys = 50000 },
      payers = window.distinct { key = "to", of = "from", span = p.window, buckets = 4, capacity = 32, max_keys = 50000 },
      came = window.sum { key = "to", of = "value", span = p.young, buckets = 4, max_keys = 50000 },
      went = window.sum { key = "from", of = "value", span = p.young, buckets = 4, max_keys = 50000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local age = tx.nonce < p.established and s.paid:age(tx, "from") or nil
    local n, went = 0, 0
    if age and age <= seconds(p.young) then
      went = s.went:add(tx) or 0
      n = s.payers:get(tx, "from") or 0
    end
    if (s.payers:add(tx) or 0) >= FROM then
      s.paid:add(tx)
      s.came:add(tx)
    end
    if n < p.payers then return end
    local payments = (s.paid:count(tx, "from") or 0) + FROM - 1
    local came = s.came:get(tx, "from") or 0      -- since the third payer, as what has gone
    if came < p.min_ether * 1e18 or went < p.share * came or n < p.different * payments then return end
    if came > p.mean_ether * 1e18 * (payments - FROM + 1) or s.service:has(tx, "from") or s.service:has(tx, "to") then return end
    local many = n >= p.many
    return alert {
      score = math.min((many and 0.5 or 0.35) + n / (20 * p.many), 0.8),
      severity = not many and "low" or nil,
      dedup = tx.from,
      explain = { payers = n, limit = p.many, payments = payments, days_old = age / 86400, ether_in = came / 1e18,
                  ether_out = went / 1e18, receiver = tx.to },
    }
  end,
  tests = {
    { name = "fires when all has gone",
      given = { txs { n = 8, from = each, to = B, ether = 0.5, every = "2d" }, txs { n = 2, from = B, to = C, ether = 1.9, nonce = { 0, 1 }, after = "1d" } },
      expect = { alerts = 1, first = 10, severity = "medium", dedup = B } },
    { name = "is low for a few payers",
      given = { txs { n = 4, from = each, to = B, ether = 0.5, every = "20d" }, tx { from = B, to = C, ether = 1.95, nonce = 0, after = "1d" } },
      expect = { alerts = 1, first = 5, severity = "low", dedup = B } },
    { name = "quiet for large sums",
      given = { txs { n = 8, from = each, to = B, ether = 50 }, tx { from = B, to = C, ether = 400, nonce = 0 } }, expect = "quiet" },
    { name = "quiet for somebody who keeps it",
      given = { txs { n = 8, from = each, to = B, ether = 0.5, every = "2d" }, tx { from = B, to = C, ether = 1, nonce = 0 } }, expect = "quiet" },
    { name = "quiet where the same people pay again",
      given = { txs { n = 30, from = { D, E, F, G, H, I, J }, to = B, ether = 0.5, every = "8h" }, tx { from = B, to = C, ether = 15, nonce = 0 } },
      expect = "quiet" },
    { name = "quiet for an old address",
      given = { txs { n = 3, from = { D, E, F }, to = B }, txs { n = 8, from = each, to = B, ether = 0.5, after = "200d" },
                tx { from = B, to = C, ether = 5, nonce = 0 } },
      expect = "quiet" },
    { name = "quiet into an exchange", lists = { [C] = "exchange" },
      given = { txs { n = 8, from = each, to = B, ether = 0.5 }, tx { from = B, to = C, ether = 3.9, nonce = 0 } }, expect = "quiet" },
  },
}
