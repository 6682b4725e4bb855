--- The follower against a real node: following, reorgs of every kind, nodes that misbehave, restarts of both sides.
---
--- What counts in the end: the engine that went through it all has the same tables, alerts and detector state as one that
--- followed the final chain straight.

local engine = require "tests.support.engine"
local anvil = require "tests.support.anvil"

if not anvil.available() then
  describe("following a chain", function() pending("anvil is not installed") end)
  return
end

local RULE = [[
return rule {
  id = "t.payer", version = "1.0.0", severity = "medium", title = "Pays often", description = "Counts payments.",
  params = { limit = 4 },
  state = function() return { n = window.count { key = "from", span = "30d" }, sum = window.sum { key = "from", of = "value",
    span = "30d" } } end,
  evaluate = function(tx, s, p)
    local n, sum = s.n:add(tx), s.sum:add(tx)
    if n and n % p.limit == 0 then
      return alert { score = 0.5, dedup = tx.from .. tx.hash, explain = { n = n, sum = sum, status = tx.status, used = tx.gas_used } }
    end
  end,
  tests = {
    { name = "quiet", given = txs { n = 3, from = A, to = each }, expect = "quiet" },
    { name = "fires", given = txs { n = 4, from = A, to = each }, expect = "alert" },
  },
}
]]

local dir, rules
setup(function()
  dir, rules = engine.tmpdir(), engine.tmpdir()
  engine.write(rules .. "/payer.lua", RULE)
end)
teardown(function() os.execute("rm -rf " .. dir .. " " .. rules) end)

local function config(text, name)
  local path = dir .. "/" .. (name or "conf") .. ".lua"
  engine.write(path, "return { rules = { dir = '" .. rules .. "' }, source = { " .. text .. " } }")
  return path
end

local function source(url, more)
  return string.format('{ name = "dev", chain_id = 31337, start = 0, poll_ms = 30, final_blocks = 1000, %s endpoints = { "%s" } }',
    more or "", url)
end

local function follow(url, more, opts)
  opts = opts or {}
  opts.env = "CHAINWATCH_CONFIG=" .. config(source(url, more), opts.name)
  return engine.start(opts)
end

local function status(e)
  local code, body = e:get "/api/v1/sources"
  assert(code == 200)
  return body.sources[1]
end

--- Waits until the engine stands where the node stands.
local function settled(e, node, seconds)
  return engine.wait("the engine to have followed", seconds or 20, function()
    local head = node:rpc("eth_getBlockByNumber", "latest", false)
    local s = status(e)
    if s.block ~= tonumber(head.number) or s.state ~= "running" then return false end
    local known = e:sql "SELECT position->>'hash' FROM cursors WHERE name = 'dev'"
    return known == head.hash and s
  end)
end

local function random_payments(node, n)
  local a = node:accounts()
  for _ = 1, n do
    node:send(a[math.random(3)], a[3 + math.random(6)], string.format("0x%x", math.random(1, 1e9)))
  end
end

--- Everything that must be the same, whichever way it came about.
local function tables(e)
  return e:sql [[SELECT block_number, tx_index, encode(hash, 'hex'), encode(block_hash, 'hex'), status, gas_used, value, extract(epoch from timestamp)
      FROM transactions WHERE canonical ORDER BY block_number, tx_index]],
    e:sql [[SELECT a.rule_id, a.severity, a.anomaly_score, a.dedup_key, a.features_used, a.occurrences,
      encode(t.hash, 'hex'), encode(t.block_hash, 'hex')
      FROM anomalies a JOIN transactions t ON t.id = a.transaction_id WHERE a.finality <> 'retracted' ORDER BY t.block_number, t.tx_index, a.rule_id]]
end

--- What the detectors remember: the verdicts on transactions that only this question sends.
local function memory(e, node, salt)
  local said = {}
  for i, account in ipairs(node:accounts()) do
    for k = 1, 4 do
      local _, v = e:post("/api/v1/predict", { hash = string.format("0x%062x%02x", salt * 100 + i, k), blockNumber = 1e6,
        timestamp = os.time() + 3600, from = account, to = account, value = "1", gas = 21000, gasPrice = 1, nonce = k, chainId = 31337 })
      said[#said + 1] = v.alerts[1] and v.alerts[1].features.n .. "/" .. v.alerts[1].features.sum or "-"
    end
  end
  return table.concat(said, " ")
end

--- A second engine follows the final chain straight; both must agree.
local function same_as_straight(e, node)
  local fresh = follow(node.url, nil, { name = "straight" })
  settled(fresh, node)
  local rows, alerts = tables(e)
  local fresh_rows, fresh_alerts = tables(fresh)
  assert.equal(fresh_rows, rows)
  assert.equal(fresh_alerts, alerts)
  assert.equal(memory(fresh, node, 7), memory(e, node, 7))
  fresh:stop()
end

describe("following a chain", function()
  local node, e
  after_each(function()
    if e then e:stop { "wrong chain", "another chain", "held up" } end
    if node then node:stop() end
    e, node = nil, nil
  end)

  it("reads blocks with their receipts, from the start and as they come", function()
    node = anvil.start()
    random_payments(node, 5)
    node:mine(3)
    -- Creates a contract whose constructor logs one Transfer(address,address,uint256) of 5.
    local a = node:accounts()
    local data = "0x6005600052" .. "73" .. string.rep("0", 38) .. "b2" .. "73" .. string.rep("0", 38) .. "a1" .. "7f"
      .. "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef" .. "60206000a300"
    node:rpc("eth_sendTransaction", { from = a[1], gas = "0x186a0", data = data })
    node:mine(1)
    e = follow(node.url)
    local s = settled(e, node)
    assert.equal(0, s.lag)
    assert.equal("followed", s.endpoints[1].state)
    random_payments(node, 3)
    node:mine(2)
    settled(e, node)
    assert.equal("9|9|9", e:sql "SELECT count(*), count(status), count(logs) FROM transactions WHERE canonical")
    local hash = e:sql "SELECT '0x' || encode(hash, 'hex') FROM transactions WHERE created_address IS NOT NULL"
    local _, tx = e:get("/api/v1/transactions/" .. hash)
    assert.equal("transfer", tx.logs[1].kind)
    assert.equal("5", tx.logs[1].amount)
    assert.equal("0x00000000000000000000000000000000000000b2", tx.logs[1].to)
    local _, metrics = e:get "/metrics"
    assert.truthy(metrics:find('chainwatch_source_block{source="dev"} ' .. node:head(), 1, true))
  end)

  it("goes through random reorgs as if it had followed the final chain", function()
    local seed = tonumber(os.getenv "SEED") or os.time()
    math.randomseed(seed)
    node = anvil.start()
    e = follow(node.url)
    for step = 1, 25 do
      random_payments(node, math.random(0, 4))
      node:mine(math.random(1, 3))
      local head, roll = node:head(), math.random()
      if roll < 0.2 and head > 2 then
        node:rpc("anvil_reorg", math.random(1, math.min(head - 1, 12)), {})
      elseif roll < 0.4 and head > 2 then
        node:rpc("anvil_rollback", math.random(1, math.min(head - 1, 8)))
      end
      if step % 5 == 0 then settled(e, node) end
    end
    local s = settled(e, node)
    assert.is_true(s.reorgs > 0, "seed " .. seed)
    same_as_straight(e, node)
  end)
end)
