--- Many owners give one spender, whom nobody uses, rights to their tokens.
---@type cw.Rule
return rule {
  id = "eth.many_approvals",  version = "1.0.0",  severity = "medium",  status = "stable",
  title = "Many owners approve a spender that nobody calls",
  role = "actor",
  description = "Approval phishing: within a day many owners give the same spender rights to their tokens. Exchanges' contracts "
    .. "get approvals too, but their users call them right after; a drainer is never called by its victims. Spenders that are "
    .. "called as often as they are approved stay out, and so do the three shared ones in `trusted`.",
  references = {
    "Microsoft 365 Defender Research, Ice Phishing on the Blockchain, 2022",
    "BadgerDAO, BadgerDAO Exploit Technical Post Mortem, 2021",
    "Chainalysis, Targeted Approval Phishing Scams, 2023",
  },
  false_positives = { "contracts that only others call for the owner (relayers): add them to `trusted` or to a list" },
  tags = { "fraud.approval_phishing" },
  params = {
    owners = 10,
    high = 25,
    window = "24h",
    called = 0.3,            -- calls of the spender for each owner, from which on it is a service
    known = "exchange,router,bridge,marketplace",
    trusted = {
      "0x000000000022d473030f116ddee9f6b43ac78ba3",   -- Permit2
      "0x1e0049783f008a0085193e00003d00cd54003c71",   -- conduit of OpenSea
      "0xc92e8bdf79f0507f65a392b0ab4667716bfe0110",   -- vault relayer of CoW Protocol
    },
  },
  when = { { kind = "call" }, { logs = { "approval", "approval_for_all" } } },
  state = function(p)
    return {
      owners = window.distinct { key = "arg1", of = "from", span = p.window, max_keys = 20000 },
      by_permit = window.distinct { key = "log_to", of = "log_from", span = p.window, max_keys = 20000 },
      called = window.count { key = "to", span = p.window, max_keys = 20000 },
      service = list.contains { category = p.known },
    }
  end,
  evaluate = function(tx, s, p)
    local calls = s.called:add(tx)
    local n, spender, known, selector = 0, nil, nil, tx.selector
    if selector == "0x095ea7b3" or selector == "0xa22cb465" or selector == "0x39509351" then
      n = tx.word2 ~= "0x" .. ("0"):rep(64) and s.owners:add(tx) or 0
      spender, known, calls = tx.arg1, s.service:has(tx, "arg1"), s.called:get(tx, "arg1")
    elseif tx.nlogs > 0 then
      for _, kind in ipairs { "approval", "approval_for_all" } do
        for _, log in tx.logs(kind) do
          local m = log.amount ~= 0 and log.from ~= tx.to and s.by_permit:add(tx) or 0
          if m > n then
            n, spender, known, calls = m, log.spender, s.service:has(tx, "log_to"), s.called:get(tx, "log_to")
          end
        end
      end
    end
    if n < p.owners or known or (calls or 0) > p.called * n then return end
    for _, address in ipairs(p.trusted) do
      if address == spender then return end
    end
    return alert {
      score = math.min(0.5 + n / (4 * p.high), 1),
      severity = n >= p.high and "high" or nil,
      dedup = spender,
      explain = { owners = n, limit = p.owners, spender = spender, calls_of_spender = calls, window = p.window },
    }
  end,
  tests = {
    { name = "fires at ten owners", given = txs { n = 12, from = each, to = T, ether = 0, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
      expect = { alerts = 3, first = 10, severity = "medium", dedup = Z } },
    { name = "is high for many", params = { owners = 25 },
      given = txs { n = 25, from = each, to = T, ether = 0, selector = "0xa22cb465", arg1 = Z, arg2 = 1, every = "1m" },
      expect = { alerts = 1, severity = "high" } },
    { name = "fires for approvals by signature", params = { owners = 3 },
      given = tx { from = Y, to = X, selector = "0x12345678", logs = { { kind = "approval", from = A, spender = Z, amount = 9 },
        { kind = "approval", from = B, spender = Z, amount = 9 }, { kind = "approval", from = C, spender = Z, amount = 9 } } },
      expect = { alerts = 1, dedup = Z } },
    { name = "quiet for a router that is used",
      given = txs { n = 80, from = each, to = { T, R }, ether = 0, selector = { "0x095ea7b3", "0x38ed1739" }, arg1 = R, arg2 = 1000 },
      expect = "quiet" },
    { name = "quiet when rights are taken back",
      given = txs { n = 30, from = each, to = T, ether = 0, selector = "0x095ea7b3", arg1 = Z, arg2 = 0 }, expect = "quiet" },
    { name = "quiet for Permit2", given = txs { n = 30, from = each, to = T, ether = 0, selector = "0x095ea7b3",
        arg1 = "0x000000000022d473030f116ddee9f6b43ac78ba3", arg2 = 1000 }, expect = "quiet" },
    { name = "quiet for one owner", given = txs { n = 30, from = A, to = T, selector = "0x095ea7b3", arg1 = Z, arg2 = 1000 },
      expect = "quiet" },
  },
}
