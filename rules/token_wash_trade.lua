--- A collectible that comes back to somebody who had it.
---@type cw.Rule
-- The last forty-eight bits of an address are enough to know it again among the last owners of one token.
local function mark(address) return tonumber(address:sub(-12), 16) end

return rule {
  id = "eth.wash_trade",  version = "1.0.0",  severity = "low",  status = "stable",
  title = "Collectible returns to a former owner",
  description = "A token that exists once comes back to an account that has had it, within days. Once is a loan or a change of mind; again "
    .. "and again it is trade that one person makes with himself, to show a price or to collect rewards (medium). Needs receipts.",
  references = {
    "V. von Wachter et al., NFT Wash Trading: Quantifying Suspicious Behaviour in NFT Markets, 2022",
    "F. Victor, A. M. Weintraud, Detecting and Quantifying Wash Trading on Decentralized Cryptocurrency Exchanges, WWW 2021",
  },
  false_positives = { "loans against collectibles, staking, games that hold tokens for a while: put their contracts on a list" },
  tags = { "market.wash_trading", "token" },
  params = {
    within = "7d",           -- since the former owner got it
    times = 3,               -- returns in the window, from which on it is medium
    window = "7d",
    known = "marketplace,staking,exchange,bridge",
  },
  when = { logs = "transfer" },
  state = function(p)
    return {
      owners = window.last { key = "log_address+log_id", n = 8, max_keys = 50000 },
      returns = window.count { key = "log_address+log_id", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    for _, log in tx.logs("transfer") do
      if log.standard == "erc721" then
        local to = log.to
        local owner = mark(to)
        local had = (s.owners:equal(tx, owner) or 0) > 0 and (s.owners:age(tx, s.owners:count(tx)) or 0) <= seconds(p.within)
        s.owners:add(tx, owner)
        if had and to ~= log.from and not s.service:has(tx, "log_to") and not s.service:has(tx, "log_from") then
          local n = s.returns:add(tx) or 1
          return alert {
            score = math.min(0.25 + 0.1 * n, 0.8),
            severity = n >= p.times and "medium" or nil,
            dedup = log.address .. " " .. (log.token_id or ""),
            explain = { returns = n, limit = p.times, token = log.address, token_id = log.token_id, from = log.from, to = to, ether = tx.ether },
          }
        end
      end
    end
  end,
  tests = {
    { name = "fires when it comes back", given = {
        tx { from = A, to = X, logs = { { kind = "transfer", standard = "erc721", from = M, to = A, amount = 1, token_id = 7 } } },
        tx { from = B, to = X, logs = { { kind = "transfer", standard = "erc721", from = A, to = B, amount = 1, token_id = 7 } } },
        tx { from = A, to = X, after = "1h", logs = { { kind = "transfer", standard = "erc721", from = B, to = A, amount = 1, token_id = 7 } } } },
      expect = { alerts = 1, first = 3, severity = "low" } },
    { name = "quiet for new owners", given = txs { n = 9, from = each, to = X, logs = { { kind = "transfer", standard = "erc721", from = A, to = each,
        amount = 1, token_id = 7 } } }, expect = "quiet" },
    { name = "quiet for another token", given = {
        tx { from = A, to = X, logs = { { kind = "transfer", standard = "erc721", from = M, to = A, amount = 1, token_id = 7 } } },
        tx { from = A, to = X, logs = { { kind = "transfer", standard = "erc721", from = B, to = A, amount = 1, token_id = 8 } } } }, expect = "quiet" },
    { name = "quiet for coins", given = txs { n = 9, from = A, to = X, logs = { { kind = "transfer", standard = "erc20", from = { A, B }, to = { B, A },
        amount = 5 } } }, expect = "quiet" },
  },
}
