--- New accounts with one funder all do the same.
---@type cw.Rule
return rule {
  id = "eth.sybil_cluster",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Fresh accounts of one funder act together",
  role = "actor",
  description = "Many accounts call the same contract with their first transactions, and all of them were first paid by the "
    .. "same address: one owner behind many faces, as in airdrop farming, vote buying or wash trading.",
  references = {
    "F. Victor, Address Clustering Heuristics for Ethereum, Financial Cryptography 2020",
    "V. von Wachter et al., NFT Wash Trading: Quantifying Suspicious Behaviour in NFT Markets, 2022: common funder",
  },
  false_positives = { "customers of an exchange that try something new: put the exchange on a list" },
  tags = { "cluster", "fraud.sybil" },
  params = {
    accounts = 10,
    window = "7d",           -- between the funding and the call
    max_nonce = 1,
    known = "exchange,custodian,bridge,payment,mining_pool,faucet",
  },
  when = function(p)
    return { { kind = "transfer", min_ether = 0.001, max_ether = 0.1 }, { kind = "call", max_nonce = p.max_nonce } }
  end,
  state = function(p)
    return {
      root = key.funder { max_keys = 20000, min_value = 1e15 },
      roots = window.last { key = "to", n = 64, max_keys = 5000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    if tx.input_size == 0 then
      if not s.service:has(tx, "from") then s.root:add(tx) end
      return
    end
    local root = s.root:id(tx)
    if root == nil or (s.root:age(tx) or 0) > seconds(p.window) or tx.nonce > 0 then return end
    local n = (s.roots:equal(tx, root) or 0) + 1
    s.roots:add(tx, root)
    if n < p.accounts then return end
    local payer = s.root:payer(tx)
    return alert {
      score = math.min(0.2 + 0.01 * n, 0.6),
      dedup = payer .. " " .. tx.to,
      explain = { accounts = n, limit = p.accounts, funder = payer, contract = tx.to, selector = tx.selector, window = p.window },
    }
  end,
  tests = {
    { name = "fires at the tenth account",
      given = { txs { n = 10, from = A, to = { C, D, E, F, G, H, I, J, K, L }, ether = 0.05 },
                txs { n = 10, from = { C, D, E, F, G, H, I, J, K, L }, to = Z, selector = "0x1249c58b", nonce = 0, ether = 0 } },
      expect = { alerts = 1, first = 20, severity = "low" } },
    { name = "quiet for accounts of their own",
      given = { txs { n = 10, from = each, to = { C, D, E, F, G, H, I, J, K, L }, ether = 0.05 },
                txs { n = 10, from = { C, D, E, F, G, H, I, J, K, L }, to = Z, selector = "0x1249c58b", nonce = 0 } },
      expect = "quiet" },
    { name = "quiet for customers of an exchange", lists = { [A] = "exchange" },
      given = { txs { n = 10, from = A, to = { C, D, E, F, G, H, I, J, K, L }, ether = 0.05 },
                txs { n = 10, from = { C, D, E, F, G, H, I, J, K, L }, to = Z, selector = "0x1249c58b", nonce = 0 } },
      expect = "quiet" },
  },
}
