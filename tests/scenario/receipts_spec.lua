--- Receipts and logs: in as nodes give them, seen by rules, stored, given back, and the same again after a replay.

local engine = require "tests.support.engine"

local RULE = [[
return rule {
  id = "t.unlimited", version = "1.0.0", severity = "high", title = "Unlimited approvals",
  description = "Approvals without a limit.", params = { limit = 3 },
  state = function() return { n = window.count { key = "from", span = "1d" } } end,
  evaluate = function(tx, s, p)
    for _, log in tx.logs("approval") do
      if compare_amounts(log.amount_text, "115792089237316195423570985008687907853269984665640564039457584007913129639935") == 0 then
        local n = s.n:add(tx)
        if n >= p.limit then
          return alert { score = 0.9, dedup = log.spender,
            explain = { n = n, token = log.address, created = tx.created, logs = tx.nlogs, first = tx.logs[1].kind } }
        end
      end
    end
  end,
  tests = {
    { name = "quiet", given = txs { n = 9, logs = { { kind = "approval", from = A, spender = B, amount = 5 } } },
      expect = "quiet" },
    { name = "fires", given = txs { n = 3, logs = { { kind = "transfer", from = A, to = each }, { kind = "approval",
      from = A, spender = { C, D }, amount = "115792089237316195423570985008687907853269984665640564039457584007913129639935" } } },
      expect = { alerts = 1, first = 3 } },
  },
}
]]
local TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
local APPROVAL = "0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
local TOKEN = "0x00000000000000000000000000000000000000cc"
local function word(n) return "0x" .. string.rep("0", 62) .. n end

local function with_logs(from)
  return engine.tx { from = from, status = "0x1", gasUsed = "0xb411", contractAddress = TOKEN, logs = {
    { address = TOKEN, topics = { TRANSFER, word "a1", word "b2" }, data = word "05", logIndex = "0x3" },
    { address = TOKEN, topics = { APPROVAL, word "a1", word "b2" }, data = "0x" .. string.rep("f", 64) },
    { address = TOKEN, topics = { word "77" }, data = "0x01" },
  } }
end

describe("receipts", function()
  local e, rules
  setup(function()
    rules = engine.tmpdir()
    engine.write(rules .. "/unlimited.lua", RULE)
    e = engine.start { sets = { "rules.dir=" .. rules, "rules.checkpoint_s=0" } }
  end)
  teardown(function()
    e:stop()
    os.execute("rm -rf " .. rules)
  end)

  it("are stored and given back", function()
    local tx = with_logs "0x00000000000000000000000000000000000000d1"
    local status, verdict = e:post("/api/v1/predict", tx)
    assert.equal(200, status, verdict.detail)
    local _, stored = e:get("/api/v1/transactions/" .. tx.hash)
    assert.equal(TOKEN, stored.contractAddress)
    assert.equal("46097", stored.gasUsed)
    assert.same({ logIndex = "3", kind = "transfer", standard = "erc20", address = TOKEN, amount = "5", dataBytes = "32",
      from = "0x00000000000000000000000000000000000000a1", to = "0x00000000000000000000000000000000000000b2",
      topic = TRANSFER }, stored.logs[1])
    assert.equal("115792089237316195423570985008687907853269984665640564039457584007913129639935", stored.logs[2].amount)
    assert.equal("other", stored.logs[3].kind)
    assert.equal(word "77", stored.logs[3].topic)
    -- What comes out goes in again and says the same.
    stored.hash = word "d9"
    assert.equal(200, (e:post("/api/v1/predict", stored)))
    local _, again = e:get("/api/v1/transactions/" .. word "d9")
    assert.same(stored.logs, again.logs)
  end)

  it("that are wrong are refused with the place", function()
    local tx = with_logs()
    tx.logs[2].topics[1] = "0x12"
    tx.logs[3].address = "nobody"
    local status, problem = e:post("/api/v1/predict", tx)
    assert.equal(422, status)
    assert.equal("/logs/1/topics/0", problem.errors[1].pointer)
    assert.equal("must be 0x and 64 hex digits", problem.errors[1].detail)
    assert.equal("/logs/2/address", problem.errors[2].pointer)
  end)

  it("fire rules, and a replay sees the same", function()
    local sender = "0x00000000000000000000000000000000000000d2"
    for _ = 1, 2 do
      local _, verdict = e:post("/api/v1/predict", with_logs(sender))
      assert.is_false(verdict.is_anomaly)
    end
    e:kill "KILL"
    engine.wait("the end", 10, function() return not e:alive() end)
    e = (function(dir) local again = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }; again.owns = true
      return again end)(e.dir)
    local _, verdict = e:post("/api/v1/predict", with_logs(sender))
    assert.is_true(verdict.is_anomaly)
    assert.same({ n = 3, token = TOKEN, created = TOKEN, logs = 3, first = "transfer" }, verdict.alerts[1].features)
  end)
end)
