--- Ether sent along with a call that promises something.
---@type cw.Rule
-- Names that exist to be shown by a wallet, and nothing else (left) or mostly for honest ends (right).
local BAIT = { ["0x5fba79f5"] = "SecurityUpdate()", ["0xaf347b61"] = "securityUpdate()", ["0x9c9316c5"] = "NetworkMerge()",
               ["0xa16f15c3"] = "Connect()", ["0x948cb719"] = "connect()", ["0x670c355b"] = "Claimer()",
               ["0xb9a9d3d0"] = "ClaimAirdrop()", ["0x3158952e"] = "Claim()" }
local OPEN = { ["0x4e71d92d"] = "claim()", ["0x5b88349d"] = "claimAirdrop()", ["0x372500ab"] = "claimRewards()",
               ["0xb88a802f"] = "claimReward()", ["0x3884d635"] = "airdrop()", ["0xfc735e99"] = "verify()" }

return rule {
  id = "eth.native_phishing",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Ether sent with a call that promises something",
  role = "actor",
  description = "A call named Claim(), SecurityUpdate(), Connect() or the like, without arguments and with ether in it. The function "
    .. "does nothing; its name is what the wallet shows while the victim signs away the ether. High once several people fell "
    .. "for it, or where the name has no honest use.",
  references = {
    "B. He et al., TxPhishScope: Towards Detecting and Understanding Transaction-based Phishing on Ethereum, ACM CCS 2023",
    "NethermindEth, Forta Agents: native ice phishing",
  },
  false_positives = { "paid claims: some collections take a fee in claim()" },
  tags = { "fraud.phishing" },
  params = {
    min_ether = 0.02,
    victims = 5,             -- different ones in the window, from which on it is high
    window = "7d",
    known = "exchange,staking,bridge,marketplace",
    selectors = { "0x5fba79f5", "0xaf347b61", "0x9c9316c5", "0xa16f15c3", "0x948cb719", "0x670c355b", "0xb9a9d3d0", "0x3158952e",
                  "0x4e71d92d", "0x5b88349d", "0x372500ab", "0xb88a802f", "0x3884d635", "0xfc735e99" },
  },
  when = function(p) return { selector = p.selectors, input_size = 4, min_ether = p.min_ether } end,
  state = function(p)
    return {
      victims = window.distinct { key = "to", of = "from", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local n = s.victims:add(tx)
    if n == nil or s.service:has(tx, "to") then return end
    local bait = BAIT[tx.selector]
    return alert {
      score = math.min((bait and 0.7 or 0.4) + 0.03 * n, 1),
      severity = (bait and n >= 2 or n >= p.victims) and "high" or nil,
      dedup = tx.to,
      explain = { call = bait or OPEN[tx.selector] or tx.selector, ether = tx.ether, payers = n, receiver = tx.to, window = p.window },
    }
  end,
  tests = {
    { name = "fires for one", given = tx { from = A, to = Z, ether = 1, selector = "0x3158952e" },
      expect = { alerts = 1, severity = "medium", dedup = Z } },
    { name = "is high for the second who falls for it", params = { min_ether = 0.5 },
      given = { tx { from = A, to = Z, ether = 0.1, selector = "0x5fba79f5" }, txs { n = 2, from = each, to = Z, ether = 1, selector = "0x5fba79f5" } },
      expect = { alerts = 2, first = 2, severity = "medium" } },
    { name = "quiet for a claim without ether", given = tx { from = A, to = Z, ether = 0, selector = "0x4e71d92d" }, expect = "quiet" },
    { name = "quiet with arguments", given = tx { from = A, to = Z, ether = 1, selector = "0x4e71d92d", input_size = 68 },
      expect = "quiet" },
    { name = "quiet for a deposit", given = tx { from = A, to = Z, ether = 1, selector = "0xd0e30db0" }, expect = "quiet" },
  },
}
