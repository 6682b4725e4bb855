--- Much ether into a contract that is hours old.
---@type cw.Rule
return rule {
  id = "eth.young_contract_value",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Large amount into a new contract",
  description = "A contract that was created less than a day ago takes in a large amount from somebody else than its maker: bait "
    .. "that works, a fraudulent sale, or a trap for bots. Needs receipts, which name the created contract.",
  references = {
    "NethermindEth, Forta Agents: smart contracts with little history",
    "C. F. Torres, M. Steichen, R. State, The Art of The Scam: Demystifying Honeypots in Ethereum Smart Contracts, USENIX Security 2019",
  },
  false_positives = { "launches of known projects" },
  tags = { "contract.new", "fraud.collection" },
  params = {
    young = "1d",
    min_ether = 30,
  },
  when = function(p) return { { kind = "creation" }, { min_ether = p.min_ether } } end,
  state = function() return { made = key.first_seen { key = "created", max_keys = 50000 } } end,
  evaluate = function(tx, s, p)
    if tx.is_creation then
      if tx.status ~= 0 then s.made:add(tx) end
      return
    end
    local age = s.made:age(tx, "to")
    if age == nil or age > seconds(p.young) then return end
    return alert {
      score = math.min(0.4 + 0.1 * math.log10(tx.ether / p.min_ether), 0.8),
      dedup = tx.to,
      explain = { contract = tx.to, hours_old = age / 3600, ether = tx.ether, limit_ether = p.min_ether, payer = tx.from },
    }
  end,
  tests = {
    { name = "fires for a contract of this hour",
      given = { tx { from = Z, creation = true, created = X, ether = 0 }, tx { from = A, to = X, ether = 50, after = "1h" } },
      expect = { alerts = 1, first = 2, severity = "medium", dedup = X } },
    { name = "quiet for an old one",
      given = { tx { from = Z, creation = true, created = X }, tx { from = A, to = X, ether = 50, after = "3d" } }, expect = "quiet" },
    { name = "quiet for a small amount",
      given = { tx { from = Z, creation = true, created = X }, tx { from = A, to = X, ether = 5 } }, expect = "quiet" },
  },
}
