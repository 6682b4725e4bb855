--- The follower against a real node: following, reorgs of every kind, nodes that misbehave, restarts of both sides.
---
--- What counts in the end: the engine that went through it all has the same tables, alerts and detector state as one that
--- followed the final chain straight.

local engine = require "tests.support.engine"
local anvil = require "tests.support.anvil"
local socket = require "socket"

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

--- Payments and blocks, and now and then the chain changes its mind.
local function random_change(node)
  random_payments(node, math.random(0, 4))
  node:mine(math.random(1, 3))
  local head, roll = node:head(), math.random()
  if roll < 0.25 and head > 2 then
    node:rpc("anvil_reorg", math.random(1, math.min(head - 1, 12)), {})
  elseif roll < 0.5 and head > 2 then
    node:rpc("anvil_rollback", math.random(1, math.min(head - 1, 8)))
  end
end

--- The node behind one that misbehaves.
local function faulty(node)
  local work = engine.tmpdir()
  os.execute(string.format("luajit tests/support/faulty_rpc.lua %s %d >%s/log 2>&1 & echo $! >%s/pid", work, node.port, work, work))
  engine.wait("the faulty node", 10, function() return engine.read(work .. "/port") end)
  return {
    url = "http://127.0.0.1:" .. tonumber(engine.read(work .. "/port")),
    mood = function(text) engine.write(work .. "/mood", text .. "\n") end,
    stop = function()
      os.execute("kill " .. engine.read(work .. "/pid"))
      os.execute("rm -rf " .. work)
    end,
  }
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
  setup(function()
    dir, rules = engine.tmpdir(), engine.tmpdir()
    engine.write(rules .. "/payer.lua", RULE)
  end)
  teardown(function() os.execute("rm -rf " .. dir .. " " .. rules) end)
  after_each(function()
    if e then e:stop { "another chain", "held up", "group=reload" } end
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
    for step = 1, 16 do
      random_change(node)
      if step % 4 == 0 then settled(e, node) end
    end
    random_payments(node, 3)         -- whatever chance did: these are taken in, and then taken back
    node:mine(1)
    settled(e, node)
    node:rpc("anvil_reorg", 2, {})
    local s = settled(e, node)
    assert.is_true(s.reorgs > 0, "seed " .. seed)
    assert.is_true(tonumber(e:sql "SELECT count(*) FROM transactions WHERE NOT canonical") > 0, "seed " .. seed)
    same_as_straight(e, node)
  end)

  it("notices a rollback that nobody tells, and one while it was away", function()
    node = anvil.start()
    random_payments(node, 8)
    node:mine(2)
    random_payments(node, 4)
    node:mine(20)
    e = follow(node.url)
    settled(e, node)
    node:rpc("anvil_rollback", 21)
    settled(e, node)
    assert.equal("8", e:sql "SELECT count(*) FROM transactions WHERE canonical")
    assert.equal("1|21", e:sql("SELECT count(*), max(0) + " .. status(e).deepest .. " FROM cursors"))
    e:stop()
    node:rpc("anvil_reorg", 1, {})
    random_payments(node, 3)
    node:mine(1)
    e = follow(node.url)
    settled(e, node)
    same_as_straight(e, node)
  end)

  it("survives kill -9 at any point, with the chain changing meanwhile", function()
    local seed = tonumber(os.getenv "SEED") or os.time()
    math.randomseed(seed)
    node = anvil.start()
    local work = engine.tmpdir()
    e = follow(node.url, nil, { dir = work })
    for _ = 1, 5 do
      for _ = 1, math.random(1, 4) do random_change(node) end
      socket.sleep(math.random() * 0.3)     -- where it stands then is the point
      e:kill "KILL"
      engine.wait("the end", 10, function() return not e:alive() end)
      if math.random() < 0.5 then random_change(node) end
      e = follow(node.url, nil, { dir = work })
    end
    settled(e, node)
    same_as_straight(e, node)
    e.owns = true
  end)

  it("gets through nodes that misbehave", function()
    node = anvil.start()
    local bad = faulty(node)
    bad.mood "noreceipts"
    for _ = 1, 6 do
      random_payments(node, 3)
      node:mine(1)
    end
    e = follow(bad.url)
    settled(e, node)
    for _, mood in ipairs { "nobatch", "chaos " .. (tonumber(os.getenv "SEED") or os.time()), "500", "garbage", "429", "cut" } do
      bad.mood(mood)
      random_change(node)
      if not mood:find "^chaos" and mood ~= "nobatch" then
        engine.wait("an error to be told: " .. mood, 10, function() return status(e).error end)
        bad.mood "ok"
      end
      settled(e, node, 60)
    end
    assert.truthy(status(e).endpoints[1].errors > 0)
    same_as_straight(e, node)
    bad.stop()
  end)

  it("goes to another node when one fails, and never to one of another chain", function()
    node = anvil.start()
    local other, bad = anvil.start { chain_id = 5 }, faulty(node)
    other:mine(50)
    local text = string.format('{ name = "dev", chain_id = 31337, start = 0, poll_ms = 30, endpoints = { "%s", '
      .. '{ url = "%s", name = "first", weight = 9 }, { url = "%s", name = "second" } } }', other.url, bad.url, node.url)
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. config(text) }
    random_payments(node, 3)
    node:mine(3)
    local s = settled(e, node)
    assert.equal("wrong chain", s.endpoints[1].state)
    assert.equal("it is of chain 5, not 31337", s.endpoints[1].last_error)
    bad.mood "500"
    node:mine(3)
    s = settled(e, node)
    assert.equal("followed", s.endpoints[3].state)
    assert.equal("set aside", s.endpoints[2].state)
    assert.equal("3", e:sql "SELECT count(*) FROM transactions")
    bad.stop()
    other:stop()
  end)

  it("waits for a node that is away, and follows when it is there again", function()
    node = anvil.start()
    local port = node.port
    random_payments(node, 3)
    node:mine(5)
    node:rpc "anvil_dumpState"
    e = follow(node.url)
    settled(e, node)
    node:stop "KILL"
    engine.wait("the loss to be seen", 10, function() return status(e).error end)
    local code = e:get "/health/ready"
    assert.equal(200, code)
    -- It comes back with nothing: its chain begins anew.
    node = anvil.start { port = port }
    node:mine(2)
    settled(e, node, 40)
    assert.equal("0", e:sql "SELECT count(*) FROM transactions WHERE canonical")
  end)

  it("asks at once when a block is announced", function()
    node = anvil.start()
    node:mine(2)
    e = follow(node.url, string.format('ws = "ws://127.0.0.1:%d",', node.port))
    settled(e, node)
    -- With a pause between polls that nobody would wait for.
    config((source(node.url, string.format('ws = "ws://127.0.0.1:%d",', node.port)):gsub("poll_ms = 30", "poll_ms = 600000")))
    assert.equal(200, (e:post "/api/v1/admin/reload"))
    settled(e, node)
    engine.wait("the subscription", 10, function()
      node:mine(1)
      return status(e).announced > 0
    end)
    node:mine(1)
    settled(e, node, 10)
  end)

  it("stops at a reorg that is deeper than it may be, and says so", function()
    node = anvil.start()
    random_payments(node, 2)
    node:mine(10)
    e = follow(node.url, "max_reorg = 3,")
    settled(e, node)
    node:rpc("anvil_reorg", 6, {})
    node:mine(1)
    engine.wait("the halt", 10, function() return status(e).state == "halted" end)
    assert.truthy(status(e).error:find("further back than max_reorg = 3 blocks", 1, true))
    assert.equal("2", e:sql "SELECT count(*) FROM transactions WHERE canonical")
    -- The operator lets it: a reload is enough.
    config(source(node.url, "max_reorg = 30,"))
    assert.equal(200, (e:post "/api/v1/admin/reload"))
    settled(e, node)
  end)

  it("takes its settings at a reload, and refuses wrong ones with the place", function()
    node = anvil.start()
    node:mine(2)
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. config "" }
    local _, none = e:get "/api/v1/sources"
    assert.same({}, none.sources)
    config(source(node.url))
    assert.equal(200, (e:post "/api/v1/admin/reload"))
    settled(e, node)
    for text, what in pairs {
      ['{ name = "x", chain_id = 1 }'] = 'source "x", endpoints: is missing',
      ['{ name = "x", endpoints = { "http://h" } }'] = 'source "x", chain_id: is missing',
      ['{ name = "x y", chain_id = 1 }'] = 'source 1, name: must be a text of letters',
      ['{ name = "x", chain_id = 1, endpoints = { "ftp://h" } }'] = 'source "x", endpoint 1: is not an http or https URL',
      ['{ name = "x", chain_id = 1, endpoints = { "http://h" }, poll_m = 5 }'] = 'source "x", poll_m: unknown key, did you mean "poll_ms"?',
      ['{ name = "x", chain_id = 1, endpoints = { "http://h" }, start = "now" }'] = 'source "x", start: must be a whole number',
      ['{ name = "x", chain_id = 1, endpoints = { { url = "http://h", weight = 0 } } }'] = 'source "x", endpoint 1: must be a whole number',
    } do
      config(text)
      local code, problem = e:post "/api/v1/admin/reload"
      assert.equal(422, code)
      assert.truthy(problem.detail:find(what, 1, true), problem.detail)
      assert.truthy(problem.detail:find("conf.lua:1:", 1, true), problem.detail)
      assert.equal("running", status(e).state)
    end
    config ""
    assert.equal(200, (e:post "/api/v1/admin/reload"))
    _, none = e:get "/api/v1/sources"
    assert.same({}, none.sources)
  end)
end)
