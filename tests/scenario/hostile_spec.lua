--- The follower against nodes that do what no real node would: forks of every kind at every moment, answers of two forks in one
--- batch, faults of every kind. What counts: the same tables, alerts and detector state as of the final chain followed straight.
---
--- HOSTILE_SEED repeats a run, HOSTILE_ROUNDS makes it longer (1).

local engine = require "tests.support.engine"
local hostile = require "tests.support.hostile"
local socket = require "socket"
local cjson = require "cjson"

local CHAINS = 4
local ROUNDS = tonumber(os.getenv "HOSTILE_ROUNDS") or 1
local SEED = tonumber(os.getenv "HOSTILE_SEED") or os.time() % 100000

local RULE = [[
return rule {
  id = "t.payer", version = "1.0.0", severity = "medium", title = "Pays often", description = "Counts payments.",
  params = { limit = 3 },
  state = function() return { n = window.count { key = "from", span = "30d" }, sum = window.sum { key = "from", of = "value",
    span = "30d" } } end,
  evaluate = function(tx, s, p)
    local n, sum = s.n:add(tx), s.sum:add(tx)
    if n and n % p.limit == 0 then
      return alert { score = 0.5, dedup = tx.from .. tx.hash, explain = { n = n, sum = sum, status = tx.status, logs = tx.nlogs } }
    end
  end,
  tests = {
    { name = "quiet", given = txs { n = 2, from = A, to = each }, expect = "quiet" },
    { name = "fires", given = txs { n = 3, from = A, to = each }, expect = "alert" },
  },
}
]]

local dir, rules, nodes, e, straight

--- An engine that follows all chains; `place` of each node, or one for each chain; `more` keys.
local function follow(name, place, more, opts)
  local list = {}
  for c = 0, nodes.chains - 1 do
    local endpoints = string.format('"%s"', nodes:url(c, type(place) == "table" and place[c + 1] or place))
    if place == "both" then endpoints = string.format('"%s", "%s"', nodes:url(c), nodes:url(c, "late")) end
    list[#list + 1] = string.format('{ name = "c%d", chain_id = %d, start = 0, poll_ms = 20, final_blocks = 1000000, max_reorg = 100000, '
      .. '%s endpoints = { %s } }', c, 9000 + c, more or "", endpoints)
  end
  local path = dir .. "/" .. name .. ".lua"
  engine.write(path, "return { rules = { dir = '" .. rules .. "' }, source = { " .. table.concat(list, ",\n") .. " } }")
  opts = opts or {}
  opts.env = "CHAINWATCH_CONFIG=" .. path
  return engine.start(opts)
end

local function statuses(e_)
  local code, body = e_:get "/api/v1/sources"
  assert(code == 200, body)
  return body.sources
end

--- Until the engine stands where the nodes stand.
local function settled(e_, seconds)
  local s, head
  local ok, list = pcall(engine.wait, "the engine to have followed", seconds or 30, function()
    local list = statuses(e_)
    for c = 0, nodes.chains - 1 do
      head, s = nodes:op("head", { chain = c }), list[c + 1]
      if s.block ~= head.number or s.state ~= "running" then return false end
      if e_:sql("SELECT position->>'hash' FROM cursors WHERE name = 'c" .. c .. "'") ~= head.hash then return false end
    end
    return list
  end)
  assert(ok, string.format("%s, seed %d, head %s: %s", list, SEED, head and head.number, s and cjson.encode(s)))
  return list
end

local function tables(e_)
  return e_:sql [[SELECT chain_id, block_number, tx_index, encode(hash, 'hex'), encode(block_hash, 'hex'), status, gas_used, gas, nonce, value,
      gas_price, encode(from_address, 'hex'), encode(to_address, 'hex'), encode(created_address, 'hex'), input_size, logs, extract(epoch from timestamp)
      FROM transactions WHERE canonical ORDER BY chain_id, block_number, tx_index]],
    e_:sql [[SELECT t.chain_id, a.rule_id, a.severity, a.anomaly_score, a.dedup_key, a.features_used, a.occurrences, a.finality,
      encode(t.hash, 'hex'), encode(t.block_hash, 'hex')
      FROM anomalies a JOIN transactions t ON t.id = a.transaction_id WHERE a.finality <> 'retracted'
      ORDER BY t.chain_id, t.block_number, t.tx_index, a.rule_id]]
end

--- What the detectors remember: the verdicts on transactions that only this question sends.
local asked = 0
local function memory(e_)
  asked = asked + 1
  local said = {}
  for c = 0, nodes.chains - 1 do
    for i = 0, 5 do
      local from, lines = nodes.address(c, i), {}
      for k = 1, 3 do
        lines[k] = string.format('{"hash":"0x%058x%02x%02x%02x","blockNumber":1000000,"timestamp":1701000000,"from":"%s","to":"%s",'
          .. '"value":"1","gas":21000,"gasPrice":1,"nonce":%d,"chainId":%d}', asked, c, i, k, from, from, k, 9000 + c)
      end
      local code, body = e_:post("/api/v1/predict/batch", '{"transactions":[' .. table.concat(lines, ",") .. "]}")
      assert(code == 200, code)
      for k = 1, 3 do
        local a = body.results[k].alerts[1]
        said[#said + 1] = a and a.features.n .. "/" .. a.features.sum or "-"
      end
    end
  end
  return table.concat(said, " ")
end

--- `e` has the same as an engine that follows what the chains are now from their beginning.
local function same_as_straight()
  straight = follow("straight")
  for c, s in ipairs(settled(straight)) do
    assert.equal(nodes:op("head", { chain = c - 1 }).txs, s.transactions, "seed " .. SEED)
  end
  local rows, alerts = tables(e)
  local straight_rows, straight_alerts = tables(straight)
  assert.equal(straight_rows, rows, "seed " .. SEED)
  assert.equal(straight_alerts, alerts, "seed " .. SEED)
  local salt = asked
  local mine = memory(e)
  asked = salt
  assert.equal(memory(straight), mine, "seed " .. SEED)
  straight:stop()
  straight = nil
end

describe("hostile nodes", function()
  setup(function()
    dir, rules = engine.tmpdir(), engine.tmpdir()
    engine.write(rules .. "/payer.lua", RULE)
  end)
  teardown(function() os.execute("rm -rf " .. dir .. " " .. rules) end)
  after_each(function()
    if e then e:stop { "another chain", "held up", "left out" } end
    if straight then straight:stop() end
    if nodes then nodes:stop() end
    e, nodes, straight = nil, nil, nil
  end)

  it("end where a straight way ends, whatever the forks and faults", function()
    nodes = hostile.start { seed = SEED, chains = CHAINS }
    for c = 0, CHAINS - 1 do nodes:op("step", { chain = c, n = 5 }) end
    nodes:op("grow", { chain = 0, n = 500, txs = 1 })     -- what happens to it happens while it is being read
    e = follow("forks", "both")
    local reorgs = 0
    for round = 1, ROUNDS do
      nodes:op("chaos", { fault = 0.25, move = 0.05 })
      socket.sleep(3)                        -- what happens meanwhile is the point
      nodes:op("chaos", {})
      for c = 0, CHAINS - 1 do nodes:op("grow", { chain = c, n = 2 }) end
      for _, s in ipairs(settled(e, 60)) do reorgs = reorgs + s.reorgs end
      assert.is_true(reorgs > 0, "seed " .. SEED)
      if round % 10 == 0 or round == ROUNDS then same_as_straight() end
    end
  end)

  it("end there too when the engine is killed or stopped in the middle of a fork", function()
    nodes = hostile.start { seed = SEED, chains = 2 }
    local work, luck = engine.tmpdir(), SEED
    local function upto(n)
      luck = (luck * 1103515245 + 12345) % 2147483648
      return math.floor(luck / 65536) % (n + 1)
    end
    for c = 0, 1 do nodes:op("grow", { chain = c, n = 30 }) end
    e = follow("killed", nil, nil, { dir = work })
    settled(e)
    for round = 1, 3 * ROUNDS do
      local stop = round % 3 == 2
      nodes:op("fork", { chain = round % 2, depth = 1 + upto(20) })
      -- Polls of both chains, the search for the common block, blocks and receipts: what comes after is up to `delay`.
      nodes:op("signal", { pid = e.pid, signal = stop and "SIGSTOP" or "SIGKILL", after = upto(8), delay = upto(60) })
      engine.wait("the signal", 10, function()
        return stop and engine.read("/proc/" .. e.pid .. "/stat"):match("%) T") or not e:alive()
      end)
      for c = 0, 1 do nodes:op("step", { chain = c, n = 2 }) end
      if stop then e:kill "CONT" else e = follow("killed", nil, nil, { dir = work }) end
    end
    for c = 0, 1 do nodes:op("grow", { chain = c }) end
    settled(e, 60)
    same_as_straight()
    e.owns = true
  end)

  it("of every manner are followed, through forks too", function()
    nodes = hostile.start { seed = SEED, chains = 4 }
    for c = 0, 3 do nodes:op("grow", { chain = c, n = 30, txs = 2 }) end
    e = follow("manners", { "plain", "few", "first", "terse" })
    settled(e, 60)
    for c = 0, 3 do nodes:op("fork", { chain = c, depth = 7, grow = 9 }) end
    for c, s in ipairs(settled(e, 60)) do
      assert.equal(1, s.reorgs, "chain " .. c .. ", seed " .. SEED)
      assert.equal(0, s.skipped, "chain " .. c .. ", seed " .. SEED)
    end
    local function stored()
      return e:sql [[SELECT chain_id, block_number, tx_index, encode(hash, 'hex'), encode(block_hash, 'hex'), status, gas_used, value, logs
        FROM transactions WHERE canonical ORDER BY chain_id, block_number, tx_index]]
    end
    local rows, alerts = stored(), select(2, tables(e))
    e:stop { "held up", "another chain", "left out" }
    e = follow("straight")
    settled(e)
    assert.equal(stored(), rows, "seed " .. SEED)
    assert.equal(select(2, tables(e)), alerts, "seed " .. SEED)
  end)

  it("are told apart from what others say of the chain", function()
    nodes = hostile.start { seed = SEED, chains = 4 }
    for c = 0, 3 do nodes:op("grow", { chain = c, n = 8, txs = 2 }) end
    -- Each is left out or taken by itself; the chain goes on.
    nodes:op("put", { chain = 1, tx = { gas = "0x10000000000000000" } })
    nodes:op("put", { chain = 1, tx = { nonce = "18446744073709551616" } })
    nodes:op("put", { chain = 1, tx = { value = "0x1" .. string.rep("0", 64) } })
    nodes:op("put", { chain = 1, tx = { from = "0x12" } })
    nodes:op("put", { chain = 1, tx = { type = "0x99", gasPrice = cjson.null, surprise = { { 1 } } } })
    nodes:op("grow", { chain = 1, txs = 1 })
    e = follow("others")
    local list = settled(e)
    assert.same({ 0, 4, 0, 0 }, { list[1].skipped, list[2].skipped, list[3].skipped, list[4].skipped })
    assert.equal("18", e:sql "SELECT count(*) FROM transactions WHERE chain_id = 9001")
    -- Clients have posted at these heights: of the chain's block, of another one, of none.
    local function post(n, block, hash)
      local tx = engine.tx { hash = string.format("0x%064x", 0xabc000 + n), blockNumber = block, blockHash = hash, chainId = 9000,
        from = nodes.address(0, n), timestamp = 1700000096 }
      assert.equal(200, (e:post("/api/v1/predict", tx)))
    end
    local tip = nodes:op("head", { chain = 0 })
    post(1, tip.number, tip.hash)
    post(2, tip.number, "0x" .. string.rep("7", 64))
    post(3, tip.number + 5, "0x" .. string.rep("8", 64))
    post(4, tip.number)
    nodes:op("fork", { chain = 0, depth = 2, grow = 3 })
    settled(e)
    assert.equal("1 false,2 true,3 true,4 true", e:sql [[SELECT string_agg(get_byte(hash, 31) || ' ' || canonical, ',' ORDER BY hash)
      FROM transactions WHERE encode(hash, 'hex') LIKE '%abc00_']])
    -- One that the database refuses is told and left out; the chain goes on.
    e:sql "ALTER TABLE transactions ADD CONSTRAINT no_4711 CHECK (nonce <> 4711) NOT VALID"
    nodes:op("put", { chain = 3, tx = { nonce = "0x1267" } })
    nodes:op("grow", { chain = 3, n = 2, txs = 2 })
    assert.equal(1, settled(e)[4].skipped)
    assert.truthy(engine.read(e.log):find('a transaction is left out" source=c3', 1, true))
    assert.equal("20", e:sql "SELECT count(*) FROM transactions WHERE chain_id = 9003 AND canonical")
    -- A node whose answer is too long, and what it costs: nothing but time.
    nodes:op("fault", { kind = "huge", times = 1 })
    engine.wait("the limit", 20, function()
      for _, s in ipairs(statuses(e)) do
        if tostring(s.endpoints[1].last_error):find "67108864" then return true end
      end
    end)
    settled(e)
    -- Two nodes behind one address, one of which stands a little behind, are no reorg.
    e:stop { "held up", "another chain", "left out" }
    e = follow("pair", "pair")
    for _ = 1, 10 do
      nodes:op("grow", { chain = 2 })
      local head = nodes:op("head", { chain = 2 })
      engine.wait("the block", 10, function() return statuses(e)[3].block == head.number end)
    end
    assert.equal(0, statuses(e)[3].reorgs)
  end)
end)
